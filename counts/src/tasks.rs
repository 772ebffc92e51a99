//! A catalog of files, directories, links and lines below one folder.

use std::path::Path;

use cm_wire::{ContentRef, Digest, Task, Value};

/// What the file of a task with this number holds.
pub fn content(number: u32) -> String {
    let mut text = format!("# file {number}\n");
    for line in 0..40 {
        text.push_str(&format!("option_{line} = value of {number}\n"));
    }
    text
}

/// The catalog: of four tasks one is a file, one a directory, one a link and one a line of a file, each after
/// the directory of its four.
pub fn catalog(folder: &Path, count: u32) -> Vec<Task> {
    (0..count).map(|number| task(folder, number)).collect()
}

fn task(folder: &Path, number: u32) -> Task {
    let directory = folder.join(format!("directory{}", number / 4)).display().to_string();
    let text = |text: String| Value::Text(text);
    let (module, path, more) = match number % 4 {
        0 => ("directory", directory, vec![("mode", text("0755".to_owned()))]),
        1 => {
            let bytes = content(number);
            let content = ContentRef { digest: Digest::of(bytes.as_bytes()), size: bytes.len() as u64 };
            let params = vec![("content", Value::Content(content)), ("mode", text("0644".to_owned()))];
            ("file", format!("{directory}/file"), params)
        }
        2 => ("link", format!("{directory}/link"), vec![("target", text("file".to_owned()))]),
        _ => {
            let params = vec![
                ("text", text(format!("option_7 = value of {number}"))),
                ("match", text("^option_7 *=".to_owned())),
            ];
            ("line", format!("{directory}/lines"), params)
        }
    };
    let params = more.into_iter().chain([("path", text(path.clone()))]);
    Task {
        role: "web".to_owned(),
        params: params.map(|(name, value)| (name.to_owned(), value)).collect(),
        after: if number.is_multiple_of(4) { Vec::new() } else { vec![number / 4 * 4] },
        ..Task::new(&format!("{module}:{path}"), module)
    }
}
