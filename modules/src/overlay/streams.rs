//! Large contents of an overlay: read from its layer or from the node below, never gathered on the machine.

use std::{io, path::Path};

use super::{Empty, Overlay};
use crate::node::{Source, Streams};

impl Streams for Overlay<'_> {
    fn open(&self, path: &Path) -> io::Result<Source> {
        match self.content_at(path)? {
            (_, Some(content)) => Source::of_content(&content),
            (place, None) => self.below.open(&place),
        }
    }
}

impl Streams for Empty {}
