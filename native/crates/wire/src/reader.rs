use crate::WireError;

/// Reads fields off the front of a body, checking every length.
pub(crate) struct Reader<'a> {
    what: &'static str,
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(what: &'static str, bytes: &'a [u8]) -> Self {
        Self { what, rest: bytes }
    }

    pub(crate) fn take(&mut self, bytes: usize) -> Result<&'a [u8], WireError> {
        if self.rest.len() < bytes {
            return Err(WireError::Truncated {
                what: self.what,
                needed: bytes,
                have: self.rest.len(),
            });
        }
        let (head, rest) = self.rest.split_at(bytes);
        self.rest = rest;
        Ok(head)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, WireError> {
        Ok(self.array::<1>()?[0])
    }

    pub(crate) fn u16(&mut self) -> Result<u16, WireError> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    pub(crate) fn u32(&mut self) -> Result<u32, WireError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(crate) fn u64(&mut self) -> Result<u64, WireError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// A count that the limit bounds before anything is allocated for it.
    pub(crate) fn count(&mut self, what: &'static str, limit: u32) -> Result<usize, WireError> {
        let value = self.u32()?;
        if value > limit {
            return Err(WireError::OverLimit {
                what,
                value: u64::from(value),
                limit: u64::from(limit),
            });
        }
        Ok(value as usize)
    }

    /// Consecutive fixed-size records, in place.
    pub(crate) fn records<const N: usize>(
        &mut self,
        count: usize,
    ) -> Result<&'a [[u8; N]], WireError> {
        let bytes = self.take(count * N)?;
        Ok(bytes.as_chunks::<N>().0)
    }

    /// Text of at most `limit` bytes behind a u16 length; what is not UTF-8 is replaced.
    pub(crate) fn text(&mut self, limit: usize) -> Result<String, WireError> {
        let length = usize::from(self.u16()?);
        if length > limit {
            return Err(WireError::OverLimit {
                what: "text length",
                value: length as u64,
                limit: limit as u64,
            });
        }
        Ok(String::from_utf8_lossy(self.take(length)?).into_owned())
    }

    pub(crate) fn end(self) -> Result<(), WireError> {
        if self.rest.is_empty() {
            return Ok(());
        }
        Err(WireError::Trailing {
            what: self.what,
            extra: self.rest.len(),
        })
    }
}

/// Appends text behind its u16 length, cut at a character's edge when it is over `limit`.
pub(crate) fn push_text(out: &mut Vec<u8>, text: &str, limit: usize) {
    let mut end = text.len().min(limit);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    out.extend_from_slice(&(end as u16).to_le_bytes());
    out.extend_from_slice(&text.as_bytes()[..end]);
}
