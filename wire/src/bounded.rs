//! Bounds for what is decoded. A frame has a limit, but a few bytes of it may stand for hundreds in memory (an
//! empty string is one byte on the wire and 24 in a list) or for a level of recursion: whoever sends frames must
//! not choose how much of either is spent.

use std::{cell::Cell, fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{Error, SeqAccess, Visitor},
};

/// Levels of lists and maps within each other.
pub(crate) const DEEPEST: u32 = 128;

thread_local! {
    static DEPTH: Cell<u32> = const { Cell::new(0) };
}

/// Reads what may hold more of its own kind, but not endlessly deep.
pub(crate) fn nested<'de, T: Deserialize<'de>, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
    /// Leaves a level whatever comes of it.
    struct Level;
    impl Drop for Level {
        fn drop(&mut self) {
            DEPTH.with(|depth| depth.set(depth.get() - 1));
        }
    }
    let depth = DEPTH.with(|depth| depth.replace(depth.get() + 1));
    let _level = Level;
    if depth >= DEEPEST {
        return Err(D::Error::custom("a value within too many others"));
    }
    T::deserialize(from)
}

/// Reads a list of at most `MOST` items.
pub(crate) fn at_most<'de, const MOST: usize, T: Deserialize<'de>, D: Deserializer<'de>>(
    from: D,
) -> Result<Vec<T>, D::Error> {
    struct Items<const MOST: usize, T>(PhantomData<T>);

    impl<'de, const MOST: usize, T: Deserialize<'de>> Visitor<'de> for Items<MOST, T> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "a list of at most {MOST} items")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Vec<T>, A::Error> {
            let hint = items.size_hint().unwrap_or(0);
            if hint > MOST {
                return Err(A::Error::invalid_length(hint, &self));
            }
            let mut list = Vec::with_capacity(hint.min(1024));
            while let Some(item) = items.next_element()? {
                if list.len() == MOST {
                    return Err(A::Error::invalid_length(MOST + 1, &self));
                }
                list.push(item);
            }
            Ok(list)
        }
    }

    from.deserialize_seq(Items::<MOST, T>(PhantomData))
}

#[cfg(test)]
mod tests {
    use crate::{Event, Facts, FromAgent, Mount, Task, ToAgent, Value, decode, encode};

    fn within(levels: u32) -> Value {
        (0..levels).fold(Value::Null, |inner, level| match level % 2 {
            0 => Value::List(vec![inner]),
            _ => Value::Map([("k".to_owned(), inner)].into()),
        })
    }

    fn sent(value: Value) -> bool {
        let task = Task { params: [("p".to_owned(), value)].into(), ..Task::new("x", "x") };
        let bytes = encode(&ToAgent::Tasks(vec![task])).unwrap();
        decode::<ToAgent>(&bytes).is_ok()
    }

    #[test]
    fn values_within_values_have_a_limit() {
        assert!(sent(within(super::DEEPEST)));
        assert!(!sent(within(super::DEEPEST + 1)));
        // The levels of a refused one are given back.
        assert!(sent(within(super::DEEPEST)));
        // Millions of levels fit into a frame and would not into a stack; made of bytes, since a value of this
        // depth cannot even be dropped.
        let head = encode(&ToAgent::Tasks(vec![Task {
            params: [("p".to_owned(), Value::List(vec![Value::Null]))].into(),
            ..Task::new("x", "x")
        }]))
        .unwrap();
        let at = head.windows(3).position(|window| window == [5, 1, 0]).unwrap();
        let body = [&head[4..at], &[5, 1].repeat(1_000_000)[..]].concat();
        let frame = [&(body.len() as u32).to_le_bytes()[..], &body].concat();
        assert!(decode::<ToAgent>(&frame).is_err());
    }

    #[test]
    fn a_few_bytes_do_not_become_gigabytes() {
        let mounts = vec![Mount::default(); 100_000];
        let hello = encode(&FromAgent::Hello(Box::new(Facts { mounts, ..Facts::default() }))).unwrap();
        assert!(hello.len() < 500_000 && decode::<FromAgent>(&hello).is_err());
        let notes = encode(&FromAgent::Events(vec![Event::Note(String::new()); 100_000])).unwrap();
        assert!(notes.len() < 300_000 && decode::<FromAgent>(&notes).is_err());
    }
}
