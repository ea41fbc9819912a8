use super::State;

impl State {
    /// From time to time, and whenever the class has nothing, asks whether an extent should move
    /// to it from another class; names the extent.
    ///
    /// Every tenant has an equal share of the arena. One that holds less takes from the one that
    /// holds most beyond its share; one at its share evicts its own first, from the class whose
    /// blocks were not used for longest.
    pub(super) fn review(&mut self, class_number: u32) -> Option<u32> {
        let class = &mut self.classes[class_number as usize];
        let empty = class.extents.is_empty();
        if class.evictions_to_review > 0 && !empty {
            return None;
        }
        class.evictions_to_review = class.extent_slots;
        let tenant = class.tenant;
        let own_extents = self.tenants.get(tenant).extents;
        let donor = self
            .tenant_above_share(tenant, own_extents)
            .and_then(|donor| self.stalest_class(donor, None))
            .or_else(|| self.stale_sibling(class_number, empty))?;
        self.classes[donor as usize].extent_to_give(&self.extents)
    }

    /// Who gives to a tenant below its share.
    fn tenant_above_share(&self, tenant: u32, own_extents: u32) -> Option<u32> {
        let holders = self.tenants.holders().count() as u32 + u32::from(own_extents == 0);
        let share = (self.extents.len() / holders.max(1)).max(1);
        if own_extents >= share {
            return None;
        }
        self.tenants
            .holders()
            .filter(|&(other, extents)| other != tenant && extents > share)
            .max_by_key(|&(other, extents)| (extents, other))
            .map(|(other, _)| other)
    }

    /// Another class of the same tenant with blocks clearly older than this one's.
    fn stale_sibling(&mut self, class: u32, empty: bool) -> Option<u32> {
        let tenant = self.classes[class as usize].tenant;
        let donor = self.stalest_class(tenant, Some(class))?;
        if empty {
            return Some(donor);
        }
        let own = self.staleness(class);
        (self.staleness(donor) > own + own / 8).then_some(donor)
    }

    fn stalest_class(&mut self, tenant: u32, except: Option<u32>) -> Option<u32> {
        let candidates: Vec<u32> = (0..self.classes.len() as u32)
            .filter(|&number| {
                let class = &self.classes[number as usize];
                class.tenant == tenant && !class.extents.is_empty() && Some(number) != except
            })
            .collect();
        candidates
            .into_iter()
            .max_by_key(|&number| self.staleness(number))
    }

    /// Bytes inserted anywhere since the class's oldest block was used.
    fn staleness(&mut self, class: u32) -> u64 {
        let oldest = self.classes[class as usize].oldest_touch(&self.extents, self.engine_time);
        self.engine_time.saturating_sub(oldest)
    }
}
