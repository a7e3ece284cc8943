package bootstrap

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
)

// Disk is a layer of the runtime that is a directory: its files are settings, by their
// way there with dots between.
type Disk struct {
	Layer string
	// Root is the link that is replaced when the layer changes; Directory is what is
	// read, Root or below it.
	Root, Directory string
}

func diskOf(layer string, m *bootstrapv3.RuntimeLayer_DiskLayer, node *corev3.Node) Disk {
	d := Disk{Layer: layer, Root: m.GetSymlinkRoot(), Directory: filepath.Join(m.GetSymlinkRoot(), m.GetSubdirectory())}
	if m.GetAppendServiceCluster() {
		d.Directory = filepath.Join(d.Directory, node.GetCluster())
	}
	return d
}

// deepest is how many directories may stand one in another.
const deepest = 16

// Settings are what the files say now; none where there is no directory.
func (d Disk) Settings() (map[string]string, error) {
	out := map[string]string{}
	if _, err := os.Stat(d.Directory); os.IsNotExist(err) {
		return out, nil
	}
	return out, gather(out, d.Directory, "", deepest)
}

func gather(out map[string]string, directory, prefix string, levels int) error {
	if levels == 0 {
		return fmt.Errorf("%s: more than %d directories stand one in another", directory, deepest)
	}
	entries, err := os.ReadDir(directory)
	if err != nil {
		return err
	}
	for _, e := range entries {
		path := filepath.Join(directory, e.Name())
		at, err := os.Stat(path) // what a link leads to
		switch {
		case err != nil:
		case at.IsDir():
			err = gather(out, path, prefix+e.Name()+".", levels-1)
		default:
			out[prefix+e.Name()], err = setting(path)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// setting is what a file says, without its lines that begin with #.
func setting(file string) (string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	var said []string
	for line := range strings.SplitSeq(string(text), "\n") {
		if !strings.HasPrefix(line, "#") {
			said = append(said, line)
		}
	}
	return strings.TrimSpace(strings.Join(said, "\n")), nil
}
