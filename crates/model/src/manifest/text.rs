//! YAML text ↔ document trees. Reading has limits against alias bombs, deep nesting and floods; writing quotes
//! whatever another YAML reader could take for something else than a string.

use serde::Serialize;
use serde_json::Value;
use serde_saphyr::options::{DuplicateKeyPolicy, MergeKeyPolicy, NonFiniteFloatPolicy};

use super::limit;

/// Reads the documents of a file; empty documents are left out. The error is one sentence with line and column.
///
/// Plain scalars are read as Kubernetes reads them (YAML 1.1: `no` is false), so that a file means the same to both.
pub(super) fn read(text: &str) -> Result<Vec<Value>, String> {
    if text.len() > limit::FILE_BYTES {
        return Err(format!("it has {} bytes; at most {} are read", text.len(), limit::FILE_BYTES));
    }
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_aliases: 100,
            max_anchors: 100,
            max_depth: 32,
            max_nodes: 50_000,
            max_events: 200_000,
            max_documents: limit::DOCUMENTS,
            max_recorded_anchor_events: 10_000,
            max_recorded_anchor_bytes: limit::FILE_BYTES,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: 10_000,
            max_replay_stack_depth: 8,
        },
        duplicate_keys: DuplicateKeyPolicy::Error,
        merge_keys: MergeKeyPolicy::Error,
        non_finite_float_policy: NonFiniteFloatPolicy::Reject,
        reject_unsupported_tags: true,
        emit_comments: false,
        with_snippet: false,
    };
    let documents: Vec<Value> = serde_saphyr::from_multiple_with_options(text, options)
        .map_err(|error| one_line(&error.to_string()))?;
    Ok(documents.into_iter().filter(|document| !document.is_null()).collect())
}

/// Writes one document.
pub(super) fn write(document: &impl Serialize) -> String {
    let options = serde_saphyr::ser_options! { prefer_block_scalars: false };
    serde_saphyr::to_string_with_options(document, options).expect("a manifest is plain data")
}

/// Writes the documents of a file.
pub(super) fn write_all(documents: &[Value]) -> String {
    documents.iter().map(write).collect::<Vec<_>>().join("---\n")
}

/// A message of a library, as part of a sentence of ours.
pub(super) fn one_line(message: &str) -> String {
    let mut line: String = message.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.len() > 300 {
        line = line.chars().take(299).chain(['…']).collect();
    }
    line
}
