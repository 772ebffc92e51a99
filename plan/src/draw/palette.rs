//! How a class of tasks looks: one word, one pair of colours and one shape in every format.
//!
//! Boxes bring their own light ground and dark text; all else is a middle grey that can be read on white and on black.

use cm_modules::Class;

/// Text on a task's box.
pub const INK: &str = "#1f2937";
/// Deduced edges, labels and frames.
pub const GREY: &str = "#7a7f87";
/// Edges that never give way.
pub const STRONG: &str = "#4f7fbf";

/// All classes, in the order a legend lists them.
pub const CLASSES: [Class; 6] =
    [Class::Package, Class::File, Class::Service, Class::Opaque, Class::Free, Class::Check];

/// How a class looks.
pub struct Look {
    /// Its word in legends and as a name of a style.
    pub word: &'static str,
    /// The ground of its boxes.
    pub fill: &'static str,
    /// The outline of its boxes.
    pub stroke: &'static str,
    /// Its shape in dot.
    pub dot: &'static str,
    /// What opens and closes its shape in mermaid.
    pub mermaid: (&'static str, &'static str),
}

/// How tasks of a class look.
pub fn look(class: Class) -> Look {
    let (word, fill, stroke, dot, mermaid) = match class {
        Class::Package => ("package", "#dbeafe", "#2563eb", "component", ("[[", "]]")),
        Class::File => ("file", "#fef3c7", "#b45309", "note", ("[", "]")),
        Class::Service => ("service", "#dcfce7", "#15803d", "ellipse", ("([", "])")),
        Class::Opaque => ("command", "#fce7f3", "#be185d", "hexagon", ("{{", "}}")),
        Class::Check => ("check", "#ede9fe", "#6d28d9", "octagon", ("[/", "/]")),
        Class::Free => ("other", "#f1f5f9", "#475569", "box", ("(", ")")),
    };
    Look { word, fill, stroke, dot, mermaid }
}
