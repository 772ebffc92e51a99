//! Cases of `timezone`.

use crate::case::{Act, Case, Cases, Where, file, holds, leads_to, link};

const LINK: &str = "/etc/localtime";
const NAME: &str = "/etc/timezone";

fn zone(name: &str) -> Act {
    file(format!("/usr/share/zoneinfo/{name}"), "TZif2", 0o644)
}

pub fn cases() -> Cases {
    let berlin = "/usr/share/zoneinfo/Europe/Berlin";
    Cases::of("timezone")
        .case(
            Case::new("zone", [("zone", "Europe/Berlin".into())])
                .fake()
                .before([
                    zone("Europe/Berlin"),
                    file("/etc/debian_version", "12.11\n", 0o644),
                    link(LINK, "/usr/share/zoneinfo/Etc/UTC"),
                    file(NAME, "Etc/UTC\n", 0o644),
                ])
                .ends([leads_to(LINK, berlin), holds(NAME, "Europe/Berlin\n")])
                .drift([], "zone", [link(LINK, "/usr/share/zoneinfo/Asia/Tokyo")])
                .drift([], "/etc/timezone", [file(NAME, "Asia/Tokyo\n", 0o644)]),
        )
        .case(
            Case::new("relative", [("zone", "Europe/Berlin".into())])
                .fake()
                .before([zone("Europe/Berlin"), link(LINK, "../usr/share/zoneinfo/UTC")])
                .ends([leads_to(LINK, "../usr/share/zoneinfo/Europe/Berlin")]),
        )
        .case(
            Case::new("host", [("zone", "Europe/Berlin".into())])
                .only([Where::Host])
                .before([link(LINK, "/usr/share/zoneinfo/Etc/UTC"), file(NAME, "Etc/UTC\n", 0o644)])
                .ends([leads_to(LINK, berlin), holds(NAME, "Europe/Berlin\n")])
                .drift([], "zone", [link(LINK, "/usr/share/zoneinfo/Asia/Tokyo")])
                .drift([], "/etc/timezone", [file(NAME, "Asia/Tokyo\n", 0o644)]),
        )
        .case(
            Case::new("copied", [("zone", "Europe/Berlin".into())])
                .fake()
                .before([zone("Europe/Berlin"), file(LINK, "TZif2", 0o644)])
                .ends([leads_to(LINK, berlin)]),
        )
}
