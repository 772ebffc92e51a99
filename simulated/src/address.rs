//! Where a simulated node is found: all of 127/8 is this machine, so each node has an address of its own.

use std::net::Ipv4Addr;

/// The port that all nodes listen on: not 22, which the machine's own sshd may hold.
pub const PORT: u16 = 2022;

/// The address of a node.
///
/// # Panics
/// From 62,500 × 60 nodes on, which no machine holds.
#[must_use]
pub fn address(node: u32) -> Ipv4Addr {
    let (high, rest) = (node / 62_500, node % 62_500);
    let high = u8::try_from(64 + high).expect("fewer nodes than 127/8 has addresses");
    // Both below 251.
    Ipv4Addr::new(127, high, (rest / 250) as u8, (rest % 250 + 1) as u8)
}

/// The name of a node in the inventory.
#[must_use]
pub fn name(node: u32) -> String {
    format!("n{node:05}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_node_has_an_address_of_its_own() {
        let all: std::collections::HashSet<_> = (0..130_000).map(address).collect();
        assert_eq!(all.len(), 130_000);
        assert_eq!(address(0), Ipv4Addr::new(127, 64, 0, 1));
        assert_eq!(address(62_500), Ipv4Addr::new(127, 65, 0, 1));
    }
}
