//! Files of an overlay: changes in memory over those of the node below; and of the empty node.

/// What has changed over the node below.
#[derive(Default)]
pub(super) struct FilesLayer {}
