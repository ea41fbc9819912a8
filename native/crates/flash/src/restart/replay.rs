use holdfast_engine::SpaceSpec;

use super::OpenReport;
use crate::index::SpaceHandle;
use crate::layout::{Entry, SegmentKind};
use crate::state::State;

/// Entries whose places in the table are fetched ahead.
const AHEAD: usize = 16;

impl State {
    /// Takes over the records of a segment, which is newer than all before of its kind.
    pub(super) fn replay(&mut self, segment: u32, entries: &[Entry], report: &mut OpenReport) {
        let kind = self.segments.get(segment).kind;
        let mut pages = 1;
        for chunk in entries.chunks(AHEAD) {
            for entry in chunk {
                self.index.prefetch(&entry.id);
            }
            for entry in chunk {
                pages += entry.payload_pages();
                self.replay_one(segment, kind, entry, report);
            }
        }
        let tombstones = entries.iter().filter(|entry| entry.is_tombstone()).count();
        let replayed = self.segments.get_mut(segment);
        replayed.payload_pages = pages - 1;
        replayed.tombstones = tombstones as u32;
        report.entries += entries.len() as u64;
        if kind == SegmentKind::Cache {
            self.advance_clock(pages);
        }
    }

    fn replay_one(
        &mut self,
        segment: u32,
        kind: SegmentKind,
        entry: &Entry,
        report: &mut OpenReport,
    ) {
        if let Some(space) = self.index.spaces().handle(entry.space)
            && let Some(slot) = self.index.find(space, &entry.id)
        {
            self.forget(slot);
        }
        if entry.is_tombstone() {
            report.tombstones += 1;
            return;
        }
        let born = u64::from(entry.birth_s) * 1000;
        let ends = born + u64::from(entry.ttl_s) * 1000;
        if entry.ttl_s != 0 && ends <= self.now {
            report.expired += 1;
            return;
        }
        let begun = self.replay_space(kind, entry).and_then(|space| {
            self.index
                .begin(space, entry.id, born, self.now, self.tick())
        });
        let Some(slot) = begun else {
            report.index_full += 1;
            return;
        };
        let page = self.geometry.page(segment, entry.page);
        self.index.describe(slot, entry.crc, entry.write_id);
        if self.index.commit(slot, page) {
            self.segments.add_live(page, entry.payload_pages());
        }
    }

    /// The space of a record, as the record knows it: what older ones say is over.
    fn replay_space(&mut self, kind: SegmentKind, entry: &Entry) -> Option<SpaceHandle> {
        let spec = SpaceSpec {
            tenant: entry.tenant,
            space: entry.space,
            block_bytes: entry.payload_bytes,
            ttl_s: entry.ttl_s,
            priority: entry.priority,
        };
        if let Ok(space) = self.index.admit_space(&spec, kind) {
            return Some(space);
        }
        self.index.spaces_mut().drop_space(entry.space);
        self.index.admit_space(&spec, kind).ok()
    }
}
