//! Writes a volume's files so that readers see all of a change or nothing of it: a new directory, and one rename of
//! the link `..data` that every visible name goes through. Source: pkg/volume/util/atomic_writer.go.

use super::payload::{File, Files};
use std::collections::BTreeSet;
use std::io::{Error, ErrorKind, Result};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Component, Path};
use std::time::{SystemTime, UNIX_EPOCH};

const DATA: &str = "..data";

/// Brings the files in `dir` to `files`; `group` owns them, if given.
pub fn write(dir: &Path, files: &Files, group: Option<u32>) -> Result<()> {
    for path in files.keys() {
        let safe = Path::new(path)
            .components()
            .all(|c| matches!(c, Component::Normal(_)))
            && !path.starts_with("..");
        if path.is_empty() || !safe {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                format!("{path:?} is no path inside the volume"),
            ));
        }
    }
    let link = dir.join(DATA);
    let old = std::fs::read_link(&link).ok().map(|target| dir.join(target));
    let present = old.as_deref().map(read_all).transpose()?.unwrap_or_default();
    let wanted: BTreeSet<&String> = files.keys().collect();
    let unchanged = old.is_some()
        && present.iter().collect::<BTreeSet<_>>() == wanted
        && files
            .iter()
            .all(|(path, file)| std::fs::read(link.join(path)).is_ok_and(|now| now == file.contents));
    if unchanged {
        return Ok(());
    }
    let stamp = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| d.as_nanos());
    let name = format!("..{stamp}");
    let fresh = dir.join(&name);
    std::fs::create_dir(&fresh)?;
    std::fs::set_permissions(&fresh, std::fs::Permissions::from_mode(0o755))?;
    for (path, File { contents, mode, user }) in files {
        let file = fresh.join(path);
        if let Some(parent) = file.parent() {
            std::fs::create_dir_all(parent)?;
        }
        std::fs::write(&file, contents)?;
        if group.is_some() || user.is_some() {
            chown(&file, *user, group)?;
        }
        let readable = if group.is_some() { 0o440 } else { 0 };
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode | readable))?;
    }
    let next = dir.join("..data_tmp");
    let _ = std::fs::remove_file(&next);
    symlink(&name, &next)?;
    std::fs::rename(&next, &link)?;
    let tops = |paths: &mut dyn Iterator<Item = &String>| -> BTreeSet<String> {
        paths
            .filter_map(|p| p.split('/').next())
            .map(String::from)
            .collect()
    };
    let now = tops(&mut files.keys());
    for top in &now {
        let visible = dir.join(top);
        if visible.symlink_metadata().is_err() {
            symlink(Path::new(DATA).join(top), visible)?;
        }
    }
    for gone in tops(&mut present.iter()).difference(&now) {
        std::fs::remove_file(dir.join(gone))?;
    }
    if let Some(old) = old {
        std::fs::remove_dir_all(old)?;
    }
    Ok(())
}

/// The paths of all files below a directory.
fn read_all(dir: &Path) -> Result<Vec<String>> {
    let mut found = Vec::new();
    let mut open = vec![dir.to_path_buf()];
    while let Some(next) = open.pop() {
        let entries = match std::fs::read_dir(&next) {
            Ok(entries) => entries,
            Err(e) if e.kind() == ErrorKind::NotFound => continue,
            Err(e) => return Err(e),
        };
        for entry in entries {
            let path = entry?.path();
            match path.is_dir() {
                true => open.push(path),
                false => found.extend(path.strip_prefix(dir).ok().map(|p| p.display().to_string())),
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(list: &[(&str, &str)]) -> Files {
        list.iter()
            .map(|(path, text)| (path.to_string(), File::new(text.as_bytes().to_vec(), 0o644)))
            .collect()
    }

    #[test]
    fn changes_come_whole() {
        let dir = tempfile::tempdir().unwrap();
        let read = |path: &str| std::fs::read_to_string(dir.path().join(path)).ok();
        write(dir.path(), &files(&[("a", "1"), ("sub/b", "2")]), None).unwrap();
        assert_eq!(
            (read("a").as_deref(), read("sub/b").as_deref()),
            (Some("1"), Some("2"))
        );
        let before = std::fs::read_link(dir.path().join(DATA)).unwrap();
        write(dir.path(), &files(&[("a", "1"), ("sub/b", "2")]), None).unwrap();
        assert_eq!(
            std::fs::read_link(dir.path().join(DATA)).unwrap(),
            before,
            "nothing changed"
        );
        write(dir.path(), &files(&[("a", "3")]), None).unwrap();
        assert_eq!((read("a").as_deref(), read("sub/b")), (Some("3"), None));
        let names = std::fs::read_dir(dir.path()).unwrap().count();
        assert_eq!(names, 3, "the link, its directory and a");
    }

    #[test]
    fn paths_stay_inside() {
        let dir = tempfile::tempdir().unwrap();
        for path in ["../a", "/a", "a/../../b", "..a", ""] {
            assert!(write(dir.path(), &files(&[(path, "")]), None).is_err(), "{path}");
        }
    }
}
