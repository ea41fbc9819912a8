use crate::TenantStats;
use holdfast_index::NumberMap;

/// What one tenant holds and may hold.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Tenant {
    /// Slots in use, bytes.
    pub(crate) used_bytes: u64,
    /// Extents held.
    pub(crate) extents: u32,
    /// Most that it may use, bytes.
    pub(crate) limit_bytes: Option<u64>,
    /// Under timed pins, bytes.
    pub(crate) pinned_bytes: u64,
}

/// All tenants that hold something or have a limit.
#[derive(Debug, Default)]
pub(crate) struct Tenants {
    by_number: NumberMap<u32, Tenant>,
}

impl Tenants {
    /// A tenant's account, empty at first.
    pub(crate) fn account(&mut self, tenant: u32) -> &mut Tenant {
        self.by_number.entry(tenant).or_default()
    }

    /// A copy of a tenant's account.
    pub(crate) fn get(&self, tenant: u32) -> Tenant {
        self.by_number.get(&tenant).copied().unwrap_or_default()
    }

    /// Tenants and their extents, those with none left out.
    pub(crate) fn holders(&self) -> impl Iterator<Item = (u32, u32)> {
        let extents = |(&tenant, account): (&u32, &Tenant)| (tenant, account.extents);
        self.by_number
            .iter()
            .map(extents)
            .filter(|&(_, extents)| extents > 0)
    }

    /// All accounts, ascending by tenant.
    pub(crate) fn stats(&self, extent_bytes: u64) -> Vec<TenantStats> {
        let mut stats: Vec<TenantStats> = self
            .by_number
            .iter()
            .map(|(&tenant, account)| TenantStats {
                tenant,
                used_bytes: account.used_bytes,
                extent_bytes: u64::from(account.extents) * extent_bytes,
                limit_bytes: account.limit_bytes,
                pinned_bytes: account.pinned_bytes,
            })
            .collect();
        stats.sort_unstable_by_key(|entry| entry.tenant);
        stats
    }

    /// Memory held, bytes.
    pub(crate) fn heap_bytes(&self) -> u64 {
        (self.by_number.capacity() * (size_of::<Tenant>() + 8)) as u64
    }
}
