//! When a job runs, as crontab(5) has it, strict enough for every cron: what one of them refuses it
//! refuses silently, with all of the file.

/// Words that stand for a whole schedule.
const SPECIAL: [&str; 8] =
    ["@reboot", "@hourly", "@daily", "@midnight", "@weekly", "@monthly", "@yearly", "@annually"];

/// One of the five fields.
pub(super) struct Field {
    pub name: &'static str,
    least: u32,
    most: u32,
    /// Three letters each; the first stands for the least.
    words: &'static [&'static str],
}

/// All five, in their order.
pub(super) static FIELDS: [Field; 5] = [
    Field { name: "minute", least: 0, most: 59, words: &[] },
    Field { name: "hour", least: 0, most: 23, words: &[] },
    Field { name: "day", least: 1, most: 31, words: &[] },
    Field {
        name: "month",
        least: 1,
        most: 12,
        words: &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
    },
    Field { name: "weekday", least: 0, most: 7, words: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"] },
];

/// The schedule with single blanks.
///
/// # Errors
/// A fragment that says what is wrong.
pub(super) fn check(text: &str) -> Result<String, String> {
    let fields: Vec<&str> = text.split_ascii_whitespace().collect();
    if text.contains(['\n', '\r']) {
        return Err("is one line and cannot hold a line break".into());
    }
    if let [word] = fields[..]
        && word.starts_with('@')
    {
        if SPECIAL.contains(&word) {
            return Ok(word.to_owned());
        }
        return Err(format!("wants one of {}, not {word:?}", SPECIAL.join(", ")));
    }
    if fields.len() != FIELDS.len() {
        return Err(format!(
            "wants five fields (minute, hour, day, month, weekday) or a word such as @daily, not {text:?}"
        ));
    }
    for (field, value) in FIELDS.iter().zip(&fields) {
        field.check(value).map_err(|error| format!("has a wrong {}: {error}", field.name))?;
    }
    Ok(fields.join(" "))
}

impl Field {
    /// Checks a value: parts with commas between, each `*`, a value or a range, the first and the last with a
    /// step behind `/` where it likes.
    ///
    /// # Errors
    /// A fragment that says what is wrong.
    pub fn check(&self, text: &str) -> Result<(), String> {
        if text.is_empty() || text.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err(format!("{text:?} is no value of it"));
        }
        text.split(',').try_for_each(|part| self.part(part).map_err(|error| format!("{error} (in {text:?})")))
    }

    fn part(&self, part: &str) -> Result<(), String> {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, Some(step)),
            None => (part, None),
        };
        let several = match range.split_once('-') {
            _ if range == "*" => true,
            Some((first, last)) => {
                let (first, last) = (self.value(first)?, self.value(last)?);
                if first > last {
                    return Err(format!("the range {range} runs backwards"));
                }
                true
            }
            None => {
                self.value(range)?;
                false
            }
        };
        let Some(step) = step else { return Ok(()) };
        if !several {
            return Err(format!(
                "a step wants a range before it: `{range}-{}/{step}` or `*/{step}`",
                self.most
            ));
        }
        match step.parse::<u32>() {
            Ok(number)
                if (1..=self.most.max(1)).contains(&number) && step.bytes().all(|b| b.is_ascii_digit()) =>
            {
                Ok(())
            }
            _ => Err(format!("the step {step:?} is not a number from 1 to {}", self.most)),
        }
    }

    fn value(&self, text: &str) -> Result<u32, String> {
        let word = self.words.iter().position(|word| text.eq_ignore_ascii_case(word));
        if let Some(place) = word {
            // At most twelve.
            return Ok(self.least + place as u32);
        }
        let wrong = || {
            let words = match self.words {
                [first, .., last] => format!(" or {first} to {last}"),
                _ => String::new(),
            };
            format!("{text:?} is not a number from {} to {}{words}", self.least, self.most)
        };
        if text.is_empty() || text.len() > 2 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(wrong());
        }
        let number: u32 = text.parse().map_err(|_| wrong())?;
        if (self.least..=self.most).contains(&number) { Ok(number) } else { Err(wrong()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_of_every_cron_are_taken() {
        for good in [
            "* * * * *",
            "*/5 8-18 1,15 jan-mar MON-fri",
            "0 0 1-31/2 12 7",
            "59 23 31 DEC 0",
            "0,30 */2 * * 1,3,sun",
            "00 04 * * *",
            "@daily",
            " @reboot ",
        ] {
            assert!(check(good).is_ok(), "{good}");
        }
        assert_eq!(check(" 0\t 1 * * *").unwrap(), "0 1 * * *");
    }

    #[test]
    fn what_a_cron_would_refuse_is_an_error() {
        for (bad, says) in [
            ("60 * * * *", "wrong minute: \"60\" is not a number from 0 to 59"),
            ("* 24 * * *", "wrong hour"),
            ("* * 0 * *", "wrong day"),
            ("* * * 13 *", "\"13\" is not a number from 1 to 12 or jan to dec"),
            ("* * * * 8", "wrong weekday"),
            ("* * * * fri-sun", "runs backwards"),
            ("5/15 * * * *", "`5-59/15` or `*/15`"),
            ("*/0 * * * *", "the step \"0\""),
            ("*/+5 * * * *", "the step \"+5\""),
            ("1, * * * *", "\"\" is not a number"),
            ("* * * *", "wants five fields"),
            ("* * * * * *", "wants five fields"),
            ("@never", "wants one of @reboot"),
            ("", "wants five fields"),
            ("* * * * monday", "\"monday\" is not"),
            ("-1 * * * *", "is not a number"),
            ("H * * * *", "is not a number"),
            ("~ * * * *", "is not a number"),
            ("*\n* * * *", "line break"),
        ] {
            let error = check(bad).expect_err(bad);
            assert!(error.contains(says), "{bad}: {error}");
        }
    }
}
