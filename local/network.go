package local

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// claimFor claims the block of the mesh in dir. A mesh keeps its block: the
// addresses of its Services are stored with them.
func claimFor(dir, wanted string) (*network, error) {
	path := filepath.Join(dir, "network")
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	kept := strings.TrimSpace(string(text))
	switch {
	case kept == "":
	case wanted != "" && wanted != kept:
		return nil, fmt.Errorf("the mesh in %s has the network %s, and its Services keep their addresses: leave out --network, or give another folder with --dir", dir, kept)
	default:
		n, err := claim(kept)
		if err != nil {
			return nil, fmt.Errorf("the mesh in %s cannot have its network back: stop the mesh that has it now, or give this one another folder with --dir: %w", dir, err)
		}
		return n, nil
	}
	n, err := claim(wanted)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		n.release()
		return nil, err
	}
	if err := os.WriteFile(path, []byte(n.block.String()+"\n"), 0o600); err != nil {
		n.release()
		return nil, err
	}
	return n, nil
}

// nodePorts is where the mesh's node ports start: all meshes of a machine listen
// on the same address, each gets 43 of the 2768 ports of Kubernetes before it
// meets the next one's.
func (n *network) nodePorts() int32 {
	const first, count, share = 30000, 2768, 43
	block := int32(n.block.Addr().As4()[1]) - firstBlock
	return first + (count/3+((block*share)%count+count)%count)%count
}
