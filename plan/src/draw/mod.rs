//! Draws the graph of tasks as dot, mermaid or SVG: text in, text out, no process and no file.
//!
//! What is drawn is less than what holds: an edge that a path covers is left out, so that the picture can be
//! read, but what the roles say themselves (`needs`, `restarts`, `reloads`) is always there. Edges of one reason
//! that lead from the same tasks to the same tasks are drawn as one link with one label.

mod bundle;
mod dot;
mod format;
mod mermaid;
mod palette;
mod picture;
mod reduce;
mod svg;
mod text;

pub use format::{Format, UnknownFormat};

use cm_modules::Class;

use crate::graph::Graph;
use picture::Picture;

/// A task as a drawing shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DrawTask<'a> {
    /// Its id, `file:/etc/hosts`; anything may be in it, control characters are shown escaped.
    pub id: &'a str,
    /// The name of its role; the tasks of a role are drawn in one frame.
    pub role: &'a str,
    /// Gives it its colour and shape.
    pub class: Class,
}

/// Draws a graph. `tasks` are the graph's, in its order; an edge to a task that is not among them is left out.
///
/// The same input gives the same text, byte for byte. Of a graph of more than 2,000 tasks the covered edges are not
/// left out. A circle, which [`crate::graph::build`] never makes, is drawn as it is.
#[must_use]
pub fn draw(graph: &Graph, tasks: &[DrawTask<'_>], format: Format) -> String {
    let picture = Picture::new(graph, tasks);
    match format {
        Format::Dot => dot::write(&picture),
        Format::Mermaid => mermaid::write(&picture),
        Format::Svg => svg::write(&picture),
    }
}

#[cfg(test)]
mod tests;
