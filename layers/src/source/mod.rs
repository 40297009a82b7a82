//! Rust source, read far enough to know which file imports which.
//!
//! | module | what |
//! |---|---|
//! | `token` | text to tokens |
//! | `parse` | tokens to declarations, imports and paths |
//! | `tree` | the modules of a crate, each with its file |
//! | `imports` | which file imports which |

pub(crate) mod imports;
mod parse;
mod token;
pub(crate) mod tree;
