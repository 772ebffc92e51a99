//! What a machine runs in, with the words of systemd-detect-virt(1).

/// Where to look; a trait so that tests can describe machines.
pub(super) trait Sources {
    /// A file's text, empty where it is not there.
    fn text(&self, path: &str) -> String;
    /// Whether something is there.
    fn exists(&self, path: &str) -> bool;
    /// What the processor says of its hypervisor.
    fn hypervisor(&self) -> Option<[u8; 12]>;
}

/// Containers first: they may run in virtual machines, and are what is seen.
pub(super) fn detect(sources: &dyn Sources) -> String {
    container(sources).or_else(|| machine(sources)).unwrap_or_else(|| "none".to_owned())
}

fn container(sources: &dyn Sources) -> Option<String> {
    let known = |name: &str| match name.trim() {
        "" => None,
        // Podman and others say `oci` when they do not say more.
        "oci" if sources.exists("/run/.containerenv") => Some("podman".to_owned()),
        "oci" if sources.exists("/.dockerenv") => Some("docker".to_owned()),
        name => Some(name.to_owned()),
    };
    if sources.exists("/proc/vz") && !sources.exists("/proc/bc") {
        return Some("openvz".to_owned());
    }
    let kernel = sources.text("/proc/sys/kernel/osrelease");
    if kernel.contains("Microsoft") || kernel.contains("WSL") {
        return Some("wsl".to_owned());
    }
    if let Some(name) = known(&sources.text("/run/systemd/container")) {
        return Some(name);
    }
    let environment = sources.text("/proc/1/environ");
    let named = environment.split('\0').find_map(|entry| known(entry.strip_prefix("container=")?));
    if named.is_some() {
        return named;
    }
    if sources.exists("/run/.containerenv") {
        return Some("podman".to_owned());
    }
    sources.exists("/.dockerenv").then(|| "docker".to_owned())
}

/// The makers that DMI names, most telling first.
const MAKERS: &[(&str, &str)] = &[
    ("KVM", "kvm"),
    ("OpenStack", "kvm"),
    ("KubeVirt", "kvm"),
    ("Amazon EC2", "amazon"),
    ("QEMU", "qemu"),
    ("VMware", "vmware"),
    ("VMW", "vmware"),
    ("innotek GmbH", "oracle"),
    ("VirtualBox", "oracle"),
    ("Xen", "xen"),
    ("Bochs", "bochs"),
    ("Parallels", "parallels"),
    ("BHYVE", "bhyve"),
    ("Hyper-V", "microsoft"),
    ("Virtual Machine", "microsoft"),
    ("Apple Virtualization", "apple"),
    ("Google Compute Engine", "google"),
];

fn machine(sources: &dyn Sources) -> Option<String> {
    let dmi = ["product_name", "sys_vendor", "board_vendor", "bios_vendor", "product_version"]
        .map(|name| sources.text(&format!("/sys/class/dmi/id/{name}")));
    let maker = MAKERS
        .iter()
        .find(|(maker, _)| dmi.iter().any(|value| value.trim_start().starts_with(maker)))
        .map(|(_, word)| *word);
    // These run on hypervisors of others; the maker says more than the processor.
    if let Some(word @ ("amazon" | "google" | "oracle" | "xen" | "parallels")) = maker {
        return Some(word.to_owned());
    }
    if let Some(signature) = sources.hypervisor() {
        let word = match &signature {
            b"KVMKVMKVM\0\0\0" | b"Linux KVM Hv" => "kvm",
            b"TCGTCGTCGTCG" => "qemu",
            b"VMwareVMware" => "vmware",
            b"Microsoft Hv" => "microsoft",
            b"XenVMMXenVMM" => "xen",
            b"bhyve bhyve " => "bhyve",
            b"ACRNACRNACRN" => "acrn",
            b"QNXQVMBSQG\0\0" => "qnx",
            b"SRESRESRESRE" => "sre",
            _ => maker.unwrap_or("vm-other"),
        };
        return Some(word.to_owned());
    }
    if let Some(maker) = maker {
        return Some(maker.to_owned());
    }
    let compatible = sources.text("/proc/device-tree/hypervisor/compatible");
    let tree = match compatible.trim_end_matches('\0') {
        "linux,kvm" => Some("kvm"),
        "xen,xen" => Some("xen"),
        "vmware" => Some("vmware"),
        "" => None,
        _ => Some("vm-other"),
    };
    if let Some(word) = tree {
        return Some(word.to_owned());
    }
    let xen = sources.text("/sys/hypervisor/type");
    (xen.trim() == "xen").then(|| "xen".to_owned())
}

/// The hypervisor's signature, none on bare metal: CPUID leaf 1 says whether there is one, leaf
/// 0x4000_0000 which.
#[cfg(target_arch = "x86_64")]
pub(super) fn cpuid_hypervisor() -> Option<[u8; 12]> {
    use std::arch::x86_64::__cpuid;
    if __cpuid(1).ecx & (1 << 31) == 0 {
        return None;
    }
    let leaf = __cpuid(0x4000_0000);
    let mut signature = [0; 12];
    for (slot, word) in signature.chunks_exact_mut(4).zip([leaf.ebx, leaf.ecx, leaf.edx]) {
        slot.copy_from_slice(&word.to_le_bytes());
    }
    Some(signature)
}

/// Other processors have no such question; DMI and the device tree tell.
#[cfg(not(target_arch = "x86_64"))]
pub(super) fn cpuid_hypervisor() -> Option<[u8; 12]> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Described(&'static [(&'static str, &'static str)], Option<[u8; 12]>);

    impl Sources for Described {
        fn text(&self, path: &str) -> String {
            self.0.iter().find(|(name, _)| *name == path).map_or("", |(_, text)| text).to_owned()
        }
        fn exists(&self, path: &str) -> bool {
            self.0.iter().any(|(name, _)| *name == path)
        }
        fn hypervisor(&self) -> Option<[u8; 12]> {
            self.1
        }
    }

    #[test]
    fn the_words_are_those_of_systemd_detect_virt() {
        const KVM: Option<[u8; 12]> = Some(*b"KVMKVMKVM\0\0\0");
        const PRODUCT: &str = "/sys/class/dmi/id/product_name";
        const VENDOR: &str = "/sys/class/dmi/id/sys_vendor";
        let cases: &[(Described, &str)] = &[
            (Described(&[], None), "none"),
            (Described(&[], KVM), "kvm"),
            (Described(&[("/run/systemd/container", "systemd-nspawn\n")], KVM), "systemd-nspawn"),
            (Described(&[("/proc/1/environ", "A=b\0container=lxc\0")], None), "lxc"),
            (Described(&[("/.dockerenv", "")], KVM), "docker"),
            (Described(&[("/run/systemd/container", "oci"), ("/run/.containerenv", "")], None), "podman"),
            (Described(&[(VENDOR, "QEMU\n")], KVM), "kvm"),
            (Described(&[(VENDOR, "QEMU\n")], Some(*b"TCGTCGTCGTCG")), "qemu"),
            (Described(&[(PRODUCT, "Google Compute Engine\n")], KVM), "google"),
            (Described(&[(PRODUCT, "VirtualBox\n")], KVM), "oracle"),
            (Described(&[], Some(*b"unheard of..")), "vm-other"),
        ];
        for (machine, word) in cases {
            assert_eq!(detect(machine), *word, "{:?}", machine.0);
        }
    }
}
