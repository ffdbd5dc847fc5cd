// Command go_checker reads one JSON object about a log from standard input and prints which of its
// claims golang.org/x/mod/sumdb accepts: code that we did not write.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

type tiles map[string][]byte

func (tiles) Height() int                     { return 8 }
func (tiles) SaveTiles([]tlog.Tile, [][]byte) {}
func (t tiles) ReadTiles(wanted []tlog.Tile) (data [][]byte, err error) {
	for _, tile := range wanted { // C2SP has no height in the path: tile/8/0/000 is tile/0/000.
		data = append(data, t["tile/"+strings.TrimPrefix(tile.Path(), "tile/8/")])
	}
	return data, nil // A missing tile has length 0, which TileHashReader refuses.
}

func say(verdict any) { json.NewEncoder(os.Stdout).Encode(verdict) }

func must[T any](value T, err error) T {
	if err != nil {
		say(map[string]string{"error": err.Error()})
		os.Exit(0)
	}
	return value
}

func main() {
	var in struct {
		VKey, Checkpoint string
		Entries          [][]byte
		Index            int64
		Inclusion        tlog.RecordProof
		OldSize          int64     `json:"old_size"`
		OldRoot          tlog.Hash `json:"old_root"`
		Consistency      tlog.TreeProof
		Tiles            tiles
	}
	must(0, json.NewDecoder(os.Stdin).Decode(&in))
	key := must(note.NewVerifier(in.VKey))
	opened := must(note.Open([]byte(in.Checkpoint), note.VerifierList(key)))
	origin, rest, _ := strings.Cut(opened.Text, "\n")
	// ParseTree reads size and root below Go's own fixed origin line only.
	tree := must(tlog.ParseTree([]byte("go.sum database tree\n" + rest)))
	hashes, leaf := tlog.TileHashReader(tree, in.Tiles), tlog.RecordHash(in.Entries[in.Index])
	root, err := tlog.TreeHash(tree.N, hashes)
	theirs, err2 := tlog.ProveRecord(tree.N, in.Index, hashes)
	growth, err3 := tlog.ProveTree(tree.N, in.OldSize, hashes)
	other := tlog.CheckRecord(in.Inclusion, tree.N, tree.Hash, (in.Index+1)%tree.N, leaf)
	say(map[string]bool{
		"origin":              origin == key.Name(),
		"size":                tree.N == int64(len(in.Entries)),
		"tiles":               err == nil && root == tree.Hash,
		"inclusion":           tlog.CheckRecord(in.Inclusion, tree.N, tree.Hash, in.Index, leaf) == nil,
		"same_inclusion":      err2 == nil && fmt.Sprint(theirs) == fmt.Sprint(in.Inclusion),
		"wrong_index_refused": other != nil,
		"consistency":         tlog.CheckTree(in.Consistency, tree.N, tree.Hash, in.OldSize, in.OldRoot) == nil,
		"same_consistency":    err3 == nil && fmt.Sprint(growth) == fmt.Sprint(in.Consistency),
	})
}
