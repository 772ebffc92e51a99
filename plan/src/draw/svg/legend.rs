//! What the colours, shapes and lines mean, below the drawing.

use std::fmt::Write as _;

use super::{Area, MARGIN, chart::SMALL, measure, outline::outline};
use crate::draw::{palette::look, picture::Picture};

/// The height it takes, with the space below it.
pub const HEIGHT: f64 = 34.0;

/// The legend of what occurs in a picture; its SVG and its right edge.
pub fn legend(picture: &Picture<'_>, top: f64) -> (String, f64) {
    let (mut out, mut left) = (String::new(), MARGIN);
    let baseline = top + 13.0;
    let word = |out: &mut String, left: &mut f64, text: &str| {
        let _ = write!(out, "<text class=\"r\" x=\"{left}\" y=\"{baseline}\">{text}</text>");
        *left += measure::width(text, SMALL).ceil() + 20.0;
    };
    for class in picture.classes() {
        let look = look(class);
        let area = Area { left, top: top + 2.0, right: left + 30.0, bottom: top + 16.0 };
        let d = outline(class, area);
        let _ =
            write!(out, "<path class=\"b\" d=\"{d}\" fill=\"{}\" stroke=\"{}\"/>", look.fill, look.stroke);
        left += 36.0;
        word(&mut out, &mut left, look.word);
    }
    for (strong, text) in [(true, "said by roles"), (false, "worked out")] {
        if picture.links.iter().any(|link| link.reason.strong() == strong) {
            let class = if strong { " class=\"s\"" } else { "" };
            let _ = write!(
                out,
                "<g{class}><path class=\"l\" d=\"M{left} {0}h24\"/><path class=\"h\" d=\"M{1} {0}l-8 -3.5v7z\"/></g>",
                top + 9.0,
                left + 31.0
            );
            left += 38.0;
            word(&mut out, &mut left, text);
        }
    }
    out.push('\n');
    (out, left)
}
