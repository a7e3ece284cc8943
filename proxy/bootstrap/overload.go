package bootstrap

import (
	"fmt"
	"slices"
	"strings"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	overloadv3 "github.com/envoyproxy/go-control-plane/envoy/config/overload/v3"
	groupv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/resource_monitors/cgroup_memory/v3"
	cpuv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/resource_monitors/cpu_utilization/v3"
	downstreamv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/resource_monitors/downstream_connections/v3"
	heapv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/resource_monitors/fixed_heap/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/lateenmesh/lateen/internal/fieldcheck"
	"github.com/lateenmesh/lateen/proxy/overload"
	"github.com/lateenmesh/lateen/proxy/stream"
)

// readOverload reads what is watched and what follows: how many connections may be
// open at once, over all listeners, and the pressure on memory and processors. The
// limit is 0 where there is none, the rest nil where nothing is watched.
func readOverload(b *bootstrapv3.Bootstrap) (int64, *overload.Config, error) {
	m := b.GetOverloadManager()
	var limit int64
	out := &overload.Config{Every: m.GetRefreshInterval().AsDuration()}
	for i, r := range m.GetResourceMonitors() {
		at := fmt.Sprintf("overload_manager.resource_monitors[%d].typed_config", i)
		opened, err := r.GetTypedConfig().UnmarshalNew()
		if err != nil {
			return 0, nil, fieldcheck.At(at, err)
		}
		if d, ok := opened.(*downstreamv3.DownstreamConnectionsConfig); ok {
			if limit = d.GetMaxActiveDownstreamConnections(); limit <= 0 {
				return 0, nil, fieldcheck.Refuse(at+".max_active_downstream_connections", "must be positive")
			}
			continue
		}
		measure, err := monitor(opened)
		if err != nil {
			return 0, nil, fieldcheck.At(at, err)
		}
		out.Monitors = append(out.Monitors, overload.Monitor{Name: r.GetName(), Pressure: measure})
	}
	for i, a := range m.GetActions() {
		if err := triggers(out, a); err != nil {
			return 0, nil, fieldcheck.At(fmt.Sprintf("overload_manager.actions[%d]", i), err)
		}
	}
	if len(out.Monitors) == 0 {
		out = nil
	}
	return limit, out, nil
}

// monitor is what a resource monitor measures.
func monitor(m proto.Message) (func() (float64, error), error) {
	if err := fields.Check(m); err != nil {
		return nil, err
	}
	switch t := m.(type) {
	case *heapv3.FixedHeapConfig:
		if t.GetMaxHeapSizeBytes() == 0 {
			return nil, fieldcheck.Refuse("max_heap_size_bytes", "must be positive")
		}
		return overload.Heap(t.GetMaxHeapSizeBytes()), nil
	case *groupv3.CgroupMemoryConfig:
		return overload.Group(groupRoot, t.GetMaxMemoryBytes()), nil
	case *cpuv3.CpuUtilizationConfig:
		if t.GetMode() == cpuv3.CpuUtilizationConfig_CONTAINER {
			return overload.GroupCPU(groupRoot), nil
		}
		return overload.HostCPU("/proc"), nil
	default:
		return nil, fieldcheck.Refuse("", "%s is not supported, write DownstreamConnectionsConfig, FixedHeapConfig, CgroupMemoryConfig or CpuUtilizationConfig", m.ProtoReflect().Descriptor().FullName())
	}
}

const (
	groupRoot    = "/sys/fs/cgroup"
	actionPrefix = "envoy.overload_actions."
)

// triggers reads when an action is taken.
func triggers(out *overload.Config, a *overloadv3.OverloadAction) error {
	action, known := overload.Named(strings.TrimPrefix(a.GetName(), actionPrefix))
	switch {
	case a.GetName() == actionPrefix+"reset_high_memory_stream":
		return fieldcheck.Refuse("name", "%q is not supported: bodies are pulled, not buffered, so that no stream holds more than its window and what filters are told to keep", a.GetName())
	case !known || !strings.HasPrefix(a.GetName(), actionPrefix):
		return fieldcheck.Refuse("name", "%q is not supported, write stop_accepting_requests, disable_http_keepalive, stop_accepting_connections, reject_incoming_connections, reduce_timeouts or shrink_heap behind %s", a.GetName(), actionPrefix)
	case action == overload.ReduceTimeouts:
		if err := timers(out, a.GetTypedConfig()); err != nil {
			return fieldcheck.At("typed_config", err)
		}
	case a.GetTypedConfig() != nil:
		return fieldcheck.Refuse("typed_config", "is only for reduce_timeouts")
	}
	for i, t := range a.GetTriggers() {
		if !slices.ContainsFunc(out.Monitors, func(m overload.Monitor) bool { return m.Name == t.GetName() }) {
			return fieldcheck.Refuse(fmt.Sprintf("triggers[%d].name", i), "%q is no resource monitor whose pressure is measured", t.GetName())
		}
		trigger := overload.Trigger{Action: action, Monitor: t.GetName(), From: t.GetThreshold().GetValue()}
		if s := t.GetScaled(); s != nil {
			trigger.From, trigger.Full = s.GetScalingThreshold(), s.GetSaturationThreshold()
		}
		out.Triggers = append(out.Triggers, trigger)
	}
	return nil
}

var timerKinds = map[overloadv3.ScaleTimersOverloadActionConfig_TimerType]overload.Timer{
	overloadv3.ScaleTimersOverloadActionConfig_HTTP_DOWNSTREAM_CONNECTION_IDLE: overload.Idle,
	overloadv3.ScaleTimersOverloadActionConfig_HTTP_DOWNSTREAM_STREAM_IDLE:     overload.Stream,
	overloadv3.ScaleTimersOverloadActionConfig_TRANSPORT_SOCKET_CONNECT:        overload.Handshake,
	overloadv3.ScaleTimersOverloadActionConfig_HTTP_DOWNSTREAM_CONNECTION_MAX:  overload.Age,
}

// timers reads which timeouts become shorter, and how short.
func timers(out *overload.Config, packed *anypb.Any) error {
	if packed == nil {
		return fieldcheck.Refuse("", "is missing: write a ScaleTimersOverloadActionConfig")
	}
	m := &overloadv3.ScaleTimersOverloadActionConfig{}
	if err := packed.UnmarshalTo(m); err != nil {
		return err
	}
	if err := fields.Check(m); err != nil {
		return err
	}
	for i, f := range m.GetTimerScaleFactors() {
		at := fmt.Sprintf("timer_scale_factors[%d].timer", i)
		kind, known := timerKinds[f.GetTimer()]
		switch {
		case !known:
			return fieldcheck.Refuse(at, "%s is not supported: there is no such timer", f.GetTimer())
		case out.Timers[kind] != nil:
			return fieldcheck.Refuse(at, "%s is an earlier one's", f.GetTimer())
		}
		out.Timers[kind] = &stream.Squeeze{Least: f.GetMinTimeout().AsDuration(), Part: f.GetMinScale().GetValue() / 100}
	}
	return nil
}
