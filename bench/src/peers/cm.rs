//! Ours.

use super::Tool;

/// `cm`, whose role lies in the site's repository already.
pub const CM: Tool = Tool {
    name: "cm",
    title: "cm",
    requirements: None,
    prepare: |given| Ok(given.site.cm(&["apply", &given.role.name, "on", "all"])),
};
