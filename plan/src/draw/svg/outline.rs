//! The outline of a task's box, by its class.

use cm_modules::Class;

use super::Area;

/// The path of a box.
pub fn outline(class: Class, area: Area) -> String {
    let Area { left, top, right, bottom } = area;
    let (width, height) = (right - left, bottom - top);
    match class {
        // A parcel: a stripe along the left.
        Class::Package => {
            format!("M{left} {top}h{width}v{height}h-{width}zM{} {top}v{height}", left + 6.0)
        }
        // A sheet with a folded corner.
        Class::File => {
            format!("M{left} {top}h{}l7 7v{}h-{width}zM{} {top}v7h7", width - 7.0, height - 7.0, right - 7.0)
        }
        // A pill.
        Class::Service => {
            let (radius, straight) = (height / 2.0, width - height);
            format!(
                "M{} {top}h{straight}a{radius} {radius} 0 0 1 0 {height}h-{straight}a{radius} {radius} 0 0 1 0 -{height}z",
                left + radius
            )
        }
        // Pointed on both sides.
        Class::Opaque => {
            let (half, straight) = (height / 2.0, width - 18.0);
            format!("M{left} {}l9 -{half}h{straight}l9 {half}l-9 {half}h-{straight}z", top + half)
        }
        // Without its corners.
        Class::Check => {
            let (across, down) = (width - 12.0, height - 12.0);
            format!("M{} {top}h{across}l6 6v{down}l-6 6h-{across}l-6 -6v-{down}z", left + 6.0)
        }
        // With round corners.
        Class::Free => {
            let (across, down) = (width - 12.0, height - 12.0);
            format!(
                "M{} {top}h{across}q6 0 6 6v{down}q0 6 -6 6h-{across}q-6 0 -6 -6v-{down}q0 -6 6 -6z",
                left + 6.0
            )
        }
    }
}
