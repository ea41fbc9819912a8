//! What the tests of this crate share.
// Each test program uses a part of it.
#![allow(dead_code, unused_imports)]

mod folder;
mod stepped;

pub use folder::Folder;
pub use stepped::{BLOCK_BYTES, Stepped, block, config, id, spec};
