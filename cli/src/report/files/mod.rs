//! `--report KIND:FILE`: what a verify found, as a file for other programs.

mod json;
mod junit;

use std::{
    fs::File,
    io::{BufWriter, Write},
    path::{Path, PathBuf},
    str::FromStr,
};

use cm_engine::{HostReport, RunEvent};

use super::{Reporter, RunHeader, Summary};
use crate::failure::Failure;

/// A report that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    kind: Kind,
    path: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Junit,
    Json,
}

impl FromStr for Wanted {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no report: write junit:FILE or json:FILE");
        let (kind, path) = text.split_once(':').ok_or_else(wrong)?;
        let kind = match kind {
            "junit" => Kind::Junit,
            "json" => Kind::Json,
            _ => return Err(wrong()),
        };
        if path.is_empty() { Err(wrong()) } else { Ok(Self { kind, path: path.into() }) }
    }
}

/// What writes one kind of report; hosts come one by one, so that memory does not grow with them.
trait Form {
    fn begin(&self, header: &RunHeader) -> String;
    fn host(&self, report: &HostReport, first: bool) -> String;
    fn end(&self, header: &RunHeader, summary: &Summary) -> String;
}

/// A report on its way: in a file beside, which takes the place of the wanted one when it is whole.
struct Underway {
    form: Box<dyn Form + Send>,
    path: PathBuf,
    temporary: PathBuf,
    out: BufWriter<File>,
    first: bool,
    error: Option<std::io::Error>,
}

/// Tells a run to another reporter and writes the files.
pub struct Filed {
    header: RunHeader,
    inner: Box<dyn Reporter>,
    files: Vec<Underway>,
}

impl Filed {
    /// Opens the files, beside those that are wanted.
    ///
    /// # Errors
    /// When one cannot be written: before any host is touched.
    pub fn open(header: RunHeader, inner: Box<dyn Reporter>, wanted: &[Wanted]) -> Result<Self, Failure> {
        let files = wanted.iter().map(|wanted| Underway::open(wanted, &header));
        let files = files.collect::<Result<_, _>>()?;
        Ok(Self { header, inner, files })
    }
}

impl Underway {
    fn open(wanted: &Wanted, header: &RunHeader) -> Result<Self, Failure> {
        let path = wanted.path.clone();
        let temporary = beside(&path);
        let file = File::create(&temporary).map_err(|error| {
            Failure::because(format!("the report {} cannot be written", path.display()), &error)
        })?;
        let form: Box<dyn Form + Send> = match wanted.kind {
            Kind::Junit => Box::new(junit::Junit),
            Kind::Json => Box::new(json::Json),
        };
        let begin = form.begin(header);
        let mut underway =
            Self { form, path, temporary, out: BufWriter::new(file), first: true, error: None };
        underway.write(&begin);
        Ok(underway)
    }

    fn write(&mut self, text: &str) {
        if self.error.is_none()
            && let Err(error) = self.out.write_all(text.as_bytes())
        {
            self.error = Some(error);
        }
    }

    fn close(mut self, end: &str) {
        self.write(end);
        let Self { out, error, path, temporary, .. } = self;
        let written = match error {
            Some(error) => Err(error),
            None => out.into_inner().map_err(std::io::IntoInnerError::into_error).and_then(|file| {
                file.sync_all()?;
                std::fs::rename(&temporary, &path)
            }),
        };
        if let Err(error) = written {
            // The run is over and told; a file that is missing must not change how it ended.
            anstream::eprintln!("warning: the report {} could not be written: {error}", path.display());
            let _ = std::fs::remove_file(&temporary);
        }
    }
}

/// A name beside a file that nothing else has.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    path.with_file_name(name)
}

impl Reporter for Filed {
    fn event(&mut self, event: &RunEvent) {
        if let RunEvent::HostEnded(report) = event {
            for file in &mut self.files {
                let text = file.form.host(report, file.first);
                file.write(&text);
                file.first = false;
            }
        }
        self.inner.event(event);
    }

    fn finish(&mut self, summary: &Summary) {
        for file in std::mem::take(&mut self.files) {
            let end = file.form.end(&self.header, summary);
            file.close(&end);
        }
        self.inner.finish(summary);
    }
}

#[cfg(test)]
mod tests;
