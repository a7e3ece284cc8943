package kubelet

import (
	"errors"
	"os/exec"
	"runtime"
)

// spawning is a process that is to be started.
type spawning struct {
	cmd  *exec.Cmd
	done chan error
}

// spawn starts cmd. The kernel ends a process with the thread that started it (its
// parent death signal), so that one thread, which lives as long as the kubelet,
// starts all of them.
func (k *Kubelet) spawn(cmd *exec.Cmd) error {
	s := spawning{cmd, make(chan error, 1)}
	select {
	case k.spawns <- s:
		return <-s.done
	case <-k.stopped:
		return errors.New("the kubelet has stopped")
	}
}

// runSpawner starts processes until Run ends.
func (k *Kubelet) runSpawner() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread() // the thread goes on
	for {
		select {
		case s := <-k.spawns:
			s.done <- s.cmd.Start()
		case <-k.stopped:
			return
		}
	}
}
