use std::path::PathBuf;

/// A folder that is gone when the value is.
pub struct Folder(PathBuf);

impl Folder {
    /// A new one; `name` keeps tests apart.
    pub fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("flash-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a folder");
        Self(path)
    }

    /// Path of a file there.
    pub fn file(&self, number: u32) -> PathBuf {
        self.0.join(format!("store-{number}"))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
