//! How wide text will be, without a font at hand.

/// Thousandths of an em of ` ` to `~` in DejaVu Sans, the widest of the fonts that `sans-serif` commonly stands for:
/// in any other the text ends a little early, in none it runs over.
const ASCII: [u16; 95] = [
    318, 401, 460, 838, 636, 950, 780, 275, 390, 390, 500, 838, 318, 361, 318, 337, 636, 636, 636, 636, 636,
    636, 636, 636, 636, 636, 337, 337, 838, 838, 838, 531, 1000, 684, 686, 698, 770, 632, 575, 775, 752, 295,
    295, 656, 557, 863, 748, 787, 603, 787, 695, 635, 611, 732, 684, 989, 685, 611, 685, 390, 337, 390, 838,
    500, 500, 613, 635, 550, 635, 615, 352, 635, 634, 278, 278, 579, 278, 974, 634, 612, 635, 635, 411, 521,
    392, 634, 592, 818, 592, 592, 525, 636, 337, 636, 838,
];

/// The width of a text at a font size, both in pixels.
pub fn width(text: &str, size: f64) -> f64 {
    text.chars().map(advance).sum::<f64>() * size / 1000.0
}

fn advance(c: char) -> f64 {
    match c {
        ' '..='~' => f64::from(ASCII[c as usize - ' ' as usize]),
        // Marks that stand on the letter before.
        '\u{300}'..='\u{36f}' => 0.0,
        // East Asian, emoji, symbols and whatever else may fill a square.
        '\u{1100}'.. => 1050.0,
        _ => 780.0,
    }
}

/// The text, or where it is wider than `most` pixels its beginning and end: both tell more of a path than its middle.
pub fn shorten(text: &str, size: f64, most: f64) -> String {
    if width(text, size) <= most {
        return text.to_owned();
    }
    let letters: Vec<char> = text.chars().collect();
    let room = most - width("…", size);
    let (mut head, mut tail, mut used) = (0, 0, 0.0);
    while head + tail < letters.len() {
        let front = head <= tail;
        let next = if front { letters[head] } else { letters[letters.len() - 1 - tail] };
        used += advance(next) * size / 1000.0;
        if used > room {
            break;
        }
        if front {
            head += 1;
        } else {
            tail += 1;
        }
    }
    letters[..head].iter().chain(&['…']).chain(&letters[letters.len() - tail..]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_keep_both_ends_and_fit() {
        let long = "file:/usr/share/nginx/html/assets/images/logo.svg";
        let short = shorten(long, 12.0, 150.0);
        assert!(short.starts_with("file:/us") && short.ends_with("logo.svg"), "{short}");
        assert!(width(&short, 12.0) <= 150.0);
        assert_eq!(shorten("file:/a", 12.0, 150.0), "file:/a");
        assert_eq!(shorten("größer als alles andere", 12.0, 1.0), "…");
    }
}
