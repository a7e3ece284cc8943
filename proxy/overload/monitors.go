package overload

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/metrics"
	"strconv"
	"strings"
	"time"
)

// Heap is the process's memory, without what has been given back, against a limit
// in bytes.
func Heap(limit uint64) func() (float64, error) {
	return func() (float64, error) {
		samples := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
		metrics.Read(samples)
		return float64(samples[0].Value.Uint64()-samples[1].Value.Uint64()) / float64(limit), nil
	}
}

// Group is the memory of the process's control group, below root (/sys/fs/cgroup),
// against a limit in bytes; with 0 it is the group's own.
func Group(root string, limit uint64) func() (float64, error) {
	return func() (float64, error) {
		used, err := number(filepath.Join(root, "memory.current"))
		if err != nil {
			return 0, err
		}
		most := limit
		if own, err := number(filepath.Join(root, "memory.max")); err == nil && (most == 0 || own < most) {
			most = own
		}
		if most == 0 {
			return 0, nil // nothing limits it
		}
		return float64(used) / float64(most), nil
	}
}

func number(file string) (uint64, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	return strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
}

// HostCPU is the share of the machine's processor time that is used, below root
// (/proc).
func HostCPU(root string) func() (float64, error) {
	return smooth(func() (used, all float64, err error) {
		text, err := os.ReadFile(filepath.Join(root, "stat"))
		if err != nil {
			return 0, 0, err
		}
		line, _, _ := strings.Cut(string(text), "\n")
		fields := strings.Fields(line)
		if len(fields) < 5 || fields[0] != "cpu" {
			return 0, 0, fmt.Errorf("%s/stat begins with %q", root, line)
		}
		for i, f := range fields[1:] {
			n, err := strconv.ParseFloat(f, 64)
			if err != nil {
				return 0, 0, err
			}
			if all += n; i != 3 && i != 4 { // idle, and idle for a disk
				used += n
			}
		}
		return used, all, nil
	})
}

// GroupCPU is the share of the processor time that the process's control group may
// use, below root (/sys/fs/cgroup).
func GroupCPU(root string) func() (float64, error) {
	start := time.Now()
	return smooth(func() (used, all float64, err error) {
		text, err := os.ReadFile(filepath.Join(root, "cpu.stat"))
		if err != nil {
			return 0, 0, err
		}
		for line := range strings.Lines(string(text)) {
			if value, found := strings.CutPrefix(line, "usage_usec "); found {
				if used, err = strconv.ParseFloat(strings.TrimSpace(value), 64); err != nil {
					return 0, 0, err
				}
			}
		}
		return used, float64(time.Since(start).Microseconds()) * processors(root), nil
	})
}

// processors is how many the group may use.
func processors(root string) float64 {
	all := float64(runtime.NumCPU())
	text, err := os.ReadFile(filepath.Join(root, "cpu.max"))
	if err != nil {
		return all
	}
	quota, period, _ := strings.Cut(strings.TrimSpace(string(text)), " ")
	q, err1 := strconv.ParseFloat(quota, 64)
	p, err2 := strconv.ParseFloat(period, 64)
	if err1 != nil || err2 != nil || p <= 0 { // "max": no quota
		return all
	}
	return min(all, q/p)
}

// smoothing is the weight of what was before: a moment's work is no overload.
const smoothing = 0.95

// smooth makes a pressure of counters of use: of what was used between two looks,
// smoothed.
func smooth(counters func() (used, all float64, err error)) func() (float64, error) {
	var beforeUsed, beforeAll, pressure float64
	first := true
	return func() (float64, error) {
		used, all, err := counters()
		if err != nil {
			return 0, err
		}
		if !first && all > beforeAll {
			now := max(0, min(1, (used-beforeUsed)/(all-beforeAll)))
			pressure = smoothing*pressure + (1-smoothing)*now
		}
		first, beforeUsed, beforeAll = false, used, all
		return pressure, nil
	}
}
