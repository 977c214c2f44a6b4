package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb/dirhash"
	"golang.org/x/mod/zip"
)

// A packedModule is a published module as the module proxy would serve it once the
// tree is tagged.
type packedModule struct {
	publishedModule
	goMod, goSum []byte
	zip          []byte
	hashes       []string // the lines of a go.sum that requires it
}

// pack packs the published modules at a version, each after those that it requires.
func (t *tree) pack(version string) ([]packedModule, error) {
	files, err := t.files()
	if err != nil {
		return nil, err
	}
	ordered, err := t.ordered()
	if err != nil {
		return nil, err
	}
	var packed []packedModule
	for _, m := range ordered {
		p, err := t.packModule(m, version, files, packed)
		if err != nil {
			return nil, fmt.Errorf("pack %s: %w", m.path, err)
		}
		packed = append(packed, p)
	}
	return packed, nil
}

// rewritten are the files of a module that its release rewrites.
var rewritten = []string{"go.mod", "go.sum", "go.work"}

func (t *tree) packModule(m publishedModule, version string, files []string, packed []packedModule) (packedModule, error) {
	goMod, required, err := t.requirements(m, version)
	if err != nil {
		return packedModule{}, err
	}
	var hashes []string
	for _, other := range required {
		for _, p := range packed {
			if p.publishedModule == other {
				hashes = append(hashes, p.hashes...)
			}
		}
	}
	goSum, err := t.withSums(m, hashes)
	if err != nil {
		return packedModule{}, err
	}

	var content []zip.File
	license := false
	for _, name := range files {
		within, ok := name, true
		if m.folder != "." {
			within, ok = strings.CutPrefix(name, m.folder+"/")
		}
		if !ok || slices.Contains(rewritten, within) {
			continue
		}
		license = license || within == "LICENSE"
		content = append(content, diskFile{within, filepath.Join(t.dir, filepath.FromSlash(name))})
	}
	content = append(content, memoryFile{"go.mod", goMod})
	if len(goSum) > 0 {
		content = append(content, memoryFile{"go.sum", goSum})
	}
	if m.folder == "." {
		work, err := t.workFile(version)
		if err != nil {
			return packedModule{}, err
		}
		content = append(content, memoryFile{"go.work", work})
	}
	if !license && slices.Contains(files, "LICENSE") {
		// The go command adds the license of the repository to modules below its root.
		content = append(content, diskFile{"LICENSE", filepath.Join(t.dir, "LICENSE")})
	}
	id := module.Version{Path: m.path, Version: version}
	var archive bytes.Buffer
	if err := zip.Create(&archive, id, content); err != nil {
		return packedModule{}, err
	}
	p := packedModule{publishedModule: m, goMod: goMod, goSum: goSum, zip: archive.Bytes()}
	p.hashes, err = hashes1(id, p.zip, goMod)
	return p, err
}

// hashes1 returns the two lines of a go.sum for a module.
func hashes1(id module.Version, archive, goMod []byte) ([]string, error) {
	file, err := os.CreateTemp("", "module-*.zip")
	if err != nil {
		return nil, err
	}
	defer os.Remove(file.Name())
	_, err = file.Write(archive)
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return nil, err
	}
	zipHash, err := dirhash.HashZip(file.Name(), dirhash.Hash1)
	if err != nil {
		return nil, err
	}
	modHash, err := dirhash.Hash1([]string{"go.mod"}, func(string) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(goMod)), nil
	})
	if err != nil {
		return nil, err
	}
	return []string{
		fmt.Sprintf("%s %s %s", id.Path, id.Version, zipHash),
		fmt.Sprintf("%s %s/go.mod %s", id.Path, id.Version, modHash),
	}, nil
}

// writeProxy writes a folder that GOPROXY can name by a file URL.
func writeProxy(dir, version string, packed []packedModule) error {
	info, err := json.Marshal(struct {
		Version string
		Time    time.Time
	}{version, time.Now().UTC().Truncate(time.Second)})
	if err != nil {
		return err
	}
	for _, p := range packed {
		escaped, err := module.EscapePath(p.path)
		if err != nil {
			return err
		}
		folder := filepath.Join(dir, filepath.FromSlash(escaped), "@v")
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return err
		}
		for name, data := range map[string][]byte{
			"list":            []byte(version + "\n"),
			version + ".info": info,
			version + ".mod":  p.goMod,
			version + ".zip":  p.zip,
		} {
			if err := os.WriteFile(filepath.Join(folder, name), data, 0o644); err != nil {
				return err
			}
		}
	}
	return nil
}

// A diskFile is a file of a module, with its path in the module and on disk.
type diskFile struct{ path, disk string }

func (f diskFile) Path() string                 { return f.path }
func (f diskFile) Lstat() (fs.FileInfo, error)  { return os.Lstat(f.disk) }
func (f diskFile) Open() (io.ReadCloser, error) { return os.Open(f.disk) }

// A memoryFile is a file of a module whose content differs from the tree's.
type memoryFile struct {
	path string
	data []byte
}

func (f memoryFile) Path() string                 { return f.path }
func (f memoryFile) Lstat() (fs.FileInfo, error)  { return f, nil }
func (f memoryFile) Open() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(f.data)), nil }

func (f memoryFile) Name() string       { return path.Base(f.path) }
func (f memoryFile) Size() int64        { return int64(len(f.data)) }
func (f memoryFile) Mode() fs.FileMode  { return 0o644 }
func (f memoryFile) ModTime() time.Time { return time.Time{} }
func (f memoryFile) IsDir() bool        { return false }
func (f memoryFile) Sys() any           { return nil }
