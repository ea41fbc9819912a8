//! Every disk does what the seam says.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::time::Duration;

use holdfast_flash::disk::{
    Action, Completion, CrashImage, Disk, Operation, Span, ThreadDisk, UringDisk,
};
use holdfast_flash::layout::PAGE_BYTES;
use holdfast_flash::{FlashError, PageMemory};

const DISK_BYTES: u64 = 8 << 20;
const LIMIT: Duration = Duration::from_secs(20);

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("flash-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a folder");
        Self(path)
    }

    fn file(&self) -> PathBuf {
        self.0.join("store")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn run(disk: &mut dyn Disk, actions: Vec<Action>) -> Vec<Completion> {
    let count = actions.len();
    let numbered = actions.into_iter().zip(0..);
    // SAFETY: callers keep the memory until this function has returned all completions.
    let mut operations: VecDeque<Operation> = numbered
        .map(|(action, token)| unsafe { Operation::new(token, action) })
        .collect();
    let mut completions = Vec::new();
    while completions.len() < count {
        disk.submit(&mut operations).expect("a working disk");
        let before = completions.len();
        disk.wait(LIMIT, &mut completions).expect("a working disk");
        assert!(completions.len() > before, "an operation ends");
    }
    completions.sort_by_key(|completion| completion.token);
    completions
}

fn all_well(completions: &[Completion]) {
    for completion in completions {
        assert!(completion.result.is_ok(), "{completion:?}");
    }
}

fn what_is_written_is_read(disk: &mut dyn Disk) {
    assert_eq!(disk.size_bytes(), DISK_BYTES);
    let mut pages: Vec<PageMemory> = (0..200).map(|_| PageMemory::new(2 * PAGE_BYTES)).collect();
    for (number, page) in pages.iter_mut().enumerate() {
        page.fill(number as u8 + 1);
    }
    // Each write takes the halves of its memory in the other order.
    let writes = pages.iter().enumerate().map(|(number, page)| {
        let (first, second) = page.split_at(PAGE_BYTES);
        Action::Write {
            offset: (number * 2 * PAGE_BYTES) as u64,
            pieces: vec![Span::of(second), Span::of(first)],
        }
    });
    all_well(&run(disk, writes.collect()));
    all_well(&run(disk, vec![Action::Sync]));
    let mut read: Vec<PageMemory> = (0..200).map(|_| PageMemory::new(2 * PAGE_BYTES)).collect();
    let reads = read
        .iter_mut()
        .enumerate()
        .map(|(number, page)| Action::Read {
            offset: (number * 2 * PAGE_BYTES) as u64,
            into: Span::of_mut(page),
        });
    all_well(&run(disk, reads.collect()));
    for (written, read) in pages.iter().zip(&read) {
        assert_eq!(written[..], read[..]);
    }
}

fn reading_beyond_the_end_fails(disk: &mut dyn Disk) {
    let mut page = PageMemory::new(PAGE_BYTES);
    let into = Span::of_mut(&mut page);
    let offset = DISK_BYTES;
    let ended = run(disk, vec![Action::Read { offset, into }]);
    assert!(ended[0].result.is_err());
}

fn the_waker_ends_a_wait(disk: &mut dyn Disk) {
    for _ in 0..3 {
        let waker = disk.waker();
        let thread = std::thread::spawn(move || waker.wake());
        let mut completions = Vec::new();
        disk.wait(LIMIT, &mut completions).expect("a working disk");
        assert!(completions.is_empty());
        thread.join().expect("a thread that wakes");
    }
}

#[test]
fn uring() {
    let folder = Folder::new("uring");
    let mut disk = UringDisk::open(&folder.file(), DISK_BYTES, 64).expect("a ring");
    what_is_written_is_read(&mut disk);
    reading_beyond_the_end_fails(&mut disk);
    the_waker_ends_a_wait(&mut disk);
}

#[test]
fn threads() {
    let folder = Folder::new("threads");
    let mut disk = ThreadDisk::open(&folder.file(), DISK_BYTES, 4).expect("threads");
    what_is_written_is_read(&mut disk);
    reading_beyond_the_end_fails(&mut disk);
    the_waker_ends_a_wait(&mut disk);
}

#[test]
fn memory() {
    let mut disk = CrashImage::new(DISK_BYTES, 1).disk();
    what_is_written_is_read(&mut disk);
    the_waker_ends_a_wait(&mut disk);
}

#[test]
fn a_file_that_finds_no_room_says_what_to_do() {
    let folder = Folder::new("room");
    let error = ThreadDisk::open(&folder.file(), 1 << 60, 1).err();
    let error = error.expect("no file system has an exbibyte");
    assert!(matches!(error, FlashError::NoSpace { .. }), "{error}");
    assert!(error.to_string().contains("fallocate -l"));
}

#[test]
fn a_crash_takes_only_what_was_not_synced() {
    for seed in 0..50 {
        let image = CrashImage::new(DISK_BYTES, seed);
        let mut disk = image.disk();
        let pages: Vec<PageMemory> = [1, 2]
            .map(|fill| {
                let mut page = PageMemory::new(PAGE_BYTES);
                page.fill(fill);
                page
            })
            .into();
        let write = |page: usize, offset| Action::Write {
            offset,
            pieces: vec![Span::of(&pages[page])],
        };
        run(&mut disk, vec![write(0, 0)]);
        run(&mut disk, vec![Action::Sync]);
        run(&mut disk, vec![write(1, 0), write(1, PAGE_BYTES as u64)]);
        image.crash(seed);
        let mut read = PageMemory::new(2 * PAGE_BYTES);
        let into = Span::of_mut(&mut read);
        all_well(&run(
            &mut image.disk(),
            vec![Action::Read { offset: 0, into }],
        ));
        let (first, second) = read.split_at(PAGE_BYTES);
        assert!(
            first.iter().all(|&byte| byte == 1 || byte == 2),
            "seed {seed}"
        );
        assert!(
            second.iter().all(|&byte| byte == 0 || byte == 2),
            "seed {seed}"
        );
    }
}

#[test]
fn a_sync_covers_only_writes_that_had_completed() {
    let lost = |seed| {
        let image = CrashImage::new(DISK_BYTES, seed);
        let mut page = PageMemory::new(PAGE_BYTES);
        page.fill(9);
        let pieces = vec![Span::of(&page)];
        let write = Action::Write { offset: 0, pieces };
        run(&mut image.disk(), vec![write, Action::Sync]);
        image.crash(seed);
        image.memory_bytes() == 0 || {
            let mut read = PageMemory::new(PAGE_BYTES);
            let into = Span::of_mut(&mut read);
            run(&mut image.disk(), vec![Action::Read { offset: 0, into }]);
            read.contains(&0)
        }
    };
    assert!(
        (0..20).any(lost),
        "the write was under way when the sync began"
    );
}
