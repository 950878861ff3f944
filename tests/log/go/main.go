// Reads a whole log as anybody would: with Go's golang.org/x/mod/sumdb packages, a base address and a verifier key.
//
// Every line on standard input is "<base address> <vkey>". For each it prints "ok <size> <root>", or "rejected: <why>".
// The packages are used as they come; what is written here is fetching, the paths of C2SP tlog-tiles, and the bundles.
package main

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const height = 8 // a tile of 256 hashes

var client = &http.Client{Timeout: 30 * time.Second}

func fetch(url string) ([]byte, error) {
	answer, err := client.Get(url) // asks for gzip and unpacks it by itself
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != 200 {
		return nil, fmt.Errorf("status %d", answer.StatusCode)
	}
	return io.ReadAll(io.LimitReader(answer.Body, 1<<25))
}

// path is where tlog-tiles puts a tile: the package's own path without the height, and "entries" for data.
func path(t tlog.Tile) string {
	p := strings.TrimPrefix(t.Path(), fmt.Sprintf("tile/%d/", t.H))
	return "/tile/" + strings.Replace(p, "data/", "entries/", 1)
}

type reader struct{ base string }

func (r reader) Height() int                         { return height }
func (r reader) SaveTiles(_ []tlog.Tile, _ [][]byte) {}
func (r reader) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	out := make([][]byte, len(tiles))
	for i, t := range tiles {
		data, err := fetch(r.base + path(t))
		if err != nil {
			return nil, err
		}
		out[i] = data
	}
	return out, nil
}

// tree is the head that a checkpoint states: origin, size, root. The package's own ParseTree knows one origin alone.
func tree(text, origin string) (tlog.Tree, error) {
	lines := strings.Split(text, "\n")
	if len(lines) != 4 || lines[0] != origin || lines[3] != "" {
		return tlog.Tree{}, errors.New("not a checkpoint of this log")
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil || size < 0 || strconv.FormatInt(size, 10) != lines[1] {
		return tlog.Tree{}, errors.New("bad size")
	}
	root, err := base64.StdEncoding.DecodeString(lines[2])
	if err != nil || len(root) != tlog.HashSize || base64.StdEncoding.EncodeToString(root) != lines[2] {
		return tlog.Tree{}, errors.New("bad root")
	}
	t := tlog.Tree{N: size}
	copy(t.Hash[:], root)
	return t, nil
}

func entries(base string, n int64, width int) ([][]byte, error) {
	data, err := fetch(base + path(tlog.Tile{H: height, L: -1, N: n, W: width}))
	if err != nil {
		return nil, err
	}
	var out [][]byte
	for len(data) > 0 {
		if len(data) < 2 || len(data)-2 < int(binary.BigEndian.Uint16(data)) {
			return nil, errors.New("a bundle is cut short")
		}
		end := 2 + int(binary.BigEndian.Uint16(data))
		out, data = append(out, data[2:end]), data[end:]
	}
	if len(out) != width {
		return nil, errors.New("a bundle holds another number of entries")
	}
	return out, nil
}

func check(base, vkey string) (t tlog.Tree, err error) {
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		return t, err
	}
	signed, err := fetch(base + "/checkpoint")
	if err != nil {
		return t, err
	}
	opened, err := note.Open(signed, note.VerifierList(verifier))
	if err != nil {
		return t, err
	}
	if t, err = tree(opened.Text, verifier.Name()); err != nil {
		return t, err
	}
	if t.N == 0 {
		if tlog.Hash(sha256.Sum256(nil)) != t.Hash { // RFC 9162 section 2.1.1; the package has no proofs of nothing
			return t, errors.New("the empty tree has another root")
		}
		return t, nil
	}
	hashes := tlog.TileHashReader(t, reader{base}) // authenticates every tile it reads against the root
	for n := int64(0); n*256 < t.N; n++ {
		width := int(min(256, t.N-n*256))
		found, err := entries(base, n, width)
		if err != nil {
			return t, err
		}
		indexes := make([]int64, width)
		for i := range indexes {
			indexes[i] = tlog.StoredHashIndex(0, n*256+int64(i))
		}
		stored, err := hashes.ReadHashes(indexes)
		if err != nil {
			return t, err
		}
		for i, entry := range found {
			if tlog.RecordHash(entry) != stored[i] {
				return t, fmt.Errorf("entry %d is not the one in the tree", n*256+int64(i))
			}
		}
	}
	for _, at := range []int64{0, t.N / 2, t.N - 1} { // its own proofs, from our tiles, against our root
		leaf, err := hashes.ReadHashes([]int64{tlog.StoredHashIndex(0, at)})
		if err != nil {
			return t, err
		}
		proof, err := tlog.ProveRecord(t.N, at, hashes)
		if err != nil {
			return t, err
		}
		if err := tlog.CheckRecord(proof, t.N, t.Hash, at, leaf[0]); err != nil {
			return t, err
		}
		old, err := tlog.TreeHash(at+1, hashes)
		if err != nil {
			return t, err
		}
		history, err := tlog.ProveTree(t.N, at+1, hashes)
		if err != nil {
			return t, err
		}
		if err := tlog.CheckTree(history, t.N, t.Hash, at+1, old); err != nil {
			return t, err
		}
	}
	return t, nil
}

func min(a, b int64) int64 {
	if a < b {
		return a
	}
	return b
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	out := bufio.NewWriter(os.Stdout)
	for lines.Scan() {
		fields := bytes.Fields(lines.Bytes())
		if len(fields) != 2 {
			fmt.Fprintln(os.Stderr, "a line is a base address and a vkey")
			os.Exit(2)
		}
		t, err := check(string(fields[0]), string(fields[1]))
		if err != nil {
			fmt.Fprintf(out, "rejected: %s\n", strings.ReplaceAll(err.Error(), "\n", " "))
		} else {
			fmt.Fprintf(out, "ok %d %s\n", t.N, base64.StdEncoding.EncodeToString(t.Hash[:]))
		}
		out.Flush()
	}
}
