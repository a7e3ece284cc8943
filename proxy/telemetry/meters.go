package telemetry

import "github.com/lateenmesh/lateen/proxy/stream"

// withMeters adds the operators of bytes, which are named for the side of the proxy and
// for what is counted.
func withMeters(all map[string]operator) map[string]operator {
	for side, of := range map[string]func(*stream.Info) *stream.Meter{
		"DOWNSTREAM_": func(i *stream.Info) *stream.Meter { return &i.DownstreamBytes },
		"UPSTREAM_":   func(i *stream.Info) *stream.Meter { return &i.UpstreamBytes },
	} {
		for what, get := range map[string]func(*stream.Meter) int64{
			"WIRE_BYTES_SENT":                    func(m *stream.Meter) int64 { return m.Sent },
			"WIRE_BYTES_RECEIVED":                func(m *stream.Meter) int64 { return m.Received },
			"HEADER_BYTES_SENT":                  func(m *stream.Meter) int64 { return m.HeadSent },
			"HEADER_BYTES_RECEIVED":              func(m *stream.Meter) int64 { return m.HeadReceived },
			"DECOMPRESSED_HEADER_BYTES_SENT":     func(m *stream.Meter) int64 { return m.PlainSent },
			"DECOMPRESSED_HEADER_BYTES_RECEIVED": func(m *stream.Meter) int64 { return m.PlainReceived },
		} {
			all[side+what] = number(func(r *record) int64 { return get(of(r.req.Info)) })
		}
	}
	// Packets that were sent again are those of QUIC alone.
	for _, name := range []string{"BYTES_RETRANSMITTED", "PACKETS_RETRANSMITTED"} {
		all[name] = number(func(*record) int64 { return 0 })
	}
	return all
}
