use crate::PageMemory;
use crate::disk::Span;
use crate::layout::{PAGE_BYTES, SegmentHead};
use crate::state::Pending;

/// The memory of one batch beside the payloads themselves, and the pieces of its write in order.
pub(super) struct BatchMemory {
    /// Head of the segment, with the first batch.
    head: Option<PageMemory>,
    /// Head and entries of the batch.
    entries: PageMemory,
    /// Ends of payloads that are no whole pages, and payloads that lie at no page's boundary.
    copies: Vec<PageMemory>,
    /// All of it and the payloads.
    pub(super) pieces: Vec<Span>,
}

// SAFETY: spans of memory that this value or the batch's payloads own.
unsafe impl Send for BatchMemory {}

impl BatchMemory {
    /// Puts the pieces of a batch together.
    pub(super) fn new(head: Option<SegmentHead>, entries: PageMemory, items: &[Pending]) -> Self {
        let head = head.map(|head| {
            let mut page = PageMemory::new(PAGE_BYTES);
            page.copy_from_slice(&head.encode());
            page
        });
        let mut memory = Self {
            head,
            entries,
            copies: Vec::new(),
            pieces: Vec::new(),
        };
        if let Some(head) = &memory.head {
            memory.pieces.push(Span::of(head));
        }
        memory.pieces.push(Span::of(&memory.entries));
        for item in items {
            if let Some(payload) = &item.payload {
                memory.add(payload.as_slice());
            }
        }
        memory
    }

    /// Adds a payload: in place as far as it is whole pages at a page's boundary.
    fn add(&mut self, payload: &[u8]) {
        let aligned = (payload.as_ptr() as usize).is_multiple_of(PAGE_BYTES);
        let in_place = if aligned {
            payload.len() / PAGE_BYTES * PAGE_BYTES
        } else {
            0
        };
        let (whole, rest) = payload.split_at(in_place);
        if !whole.is_empty() {
            self.pieces.push(Span::of(whole));
        }
        if !rest.is_empty() {
            let mut copy = PageMemory::new(rest.len());
            copy[..rest.len()].copy_from_slice(rest);
            self.pieces.push(Span::of(&copy));
            self.copies.push(copy);
        }
    }
}
