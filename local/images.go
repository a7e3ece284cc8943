package local

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/lateenmesh/lateen/local/kubelet"
	"github.com/lateenmesh/lateen/samples"
)

// images finds what an image stands for: an entry of lateen.yaml, a program of
// the mesh, or a sample application.
type images struct {
	file    string // the lateen.yaml, empty for none
	mapped  map[string]mapping
	besides string // the folder of our own programs
}

// mapping is an entry of lateen.yaml.
type mapping struct {
	Command []string          `json:"command"`
	Dir     string            `json:"dir"`
	Ports   []int32           `json:"ports"`
	Env     map[string]string `json:"env"`
}

func readImages(file string) (images, error) {
	program, err := os.Executable()
	if err != nil {
		return images{}, err
	}
	i := images{file: file, besides: filepath.Dir(program)}
	if file == "" {
		return i, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return i, err
	}
	var content struct {
		Images map[string]mapping `json:"images"`
	}
	if err := yaml.UnmarshalStrict(text, &content); err != nil {
		return i, fmt.Errorf("read %s: %w", file, err)
	}
	for pattern, m := range content.Images {
		if len(m.Command) == 0 {
			return i, fmt.Errorf("read %s: images: %s: no command", file, pattern)
		}
		if _, err := path.Match(pattern, ""); err != nil {
			return i, fmt.Errorf("read %s: images: %s: %w", file, pattern, err)
		}
	}
	i.mapped = content.Images
	return i, nil
}

// located finds a program that is given by a relative path: in the working
// directory if there is one, else beside lateen.yaml.
func (i images) located(command []string, dir string) []string {
	if filepath.IsAbs(command[0]) || !strings.Contains(command[0], "/") {
		return command
	}
	if dir == "" {
		dir = filepath.Dir(i.file)
	}
	if absolute, err := filepath.Abs(dir); err == nil {
		dir = absolute
	}
	return append([]string{filepath.Join(dir, command[0])}, command[1:]...)
}

// own are the mesh's programs by the last part of their images' names.
var own = map[string]string{"proxy": "lateen-proxy", "proxyv2": "lateen-proxy", "pilot": "lateend"}

func (i images) program(image string) (kubelet.Program, error) {
	for pattern, m := range i.mapped {
		if ok, _ := path.Match(pattern, image); ok || pattern == image {
			dir := m.Dir
			if dir != "" && !filepath.IsAbs(dir) {
				dir = filepath.Join(filepath.Dir(i.file), dir)
			}
			return kubelet.Program{Command: i.located(m.Command, dir), Dir: dir, Ports: m.Ports, Env: m.Env}, nil
		}
	}
	name, _, _ := strings.Cut(image[strings.LastIndexByte(image, '/')+1:], ":")
	if program, ok := own[name]; ok && (strings.Contains(image, "lateenmesh/") || strings.Contains(image, "istio/")) {
		return kubelet.Program{Command: []string{filepath.Join(i.besides, program)}, Mesh: true}, nil
	}
	if app, ok := samples.Lookup(image); ok {
		run := filepath.Join(i.besides, "lateen-samples")
		return kubelet.Program{
			Command: append([]string{run, "run", app.Name}, app.Args...), Ports: app.Ports, Env: app.Env,
			Applets: map[string][]string{"curl": {run, "curl"}},
		}, nil
	}
	return kubelet.Program{}, errors.New(`map it to a program in lateen.yaml, as in "images: {` + image + `: {command: [./my-program]}}", and start again`)
}
