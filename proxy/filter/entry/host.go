package entry

import (
	"strconv"
	"strings"

	"github.com/lateenmesh/lateen/proxy/stream"
)

// StripPort says of which hosts the port is taken off, so that routes and filters see
// them without it.
type StripPort uint8

// The hosts whose port is taken off.
const (
	KeepPort     StripPort = iota
	OwnPort                // with the port that the connection came to
	WhateverPort           // with any
)

// strip takes off the request's host what it is not to be known by.
func (c *Config) strip(req *stream.Request) {
	if req.Port = ""; c.StripDot {
		req.Authority = withoutDot(req.Authority)
	}
	if c.StripPort == KeepPort {
		return
	}
	host, port := cutPort(req.Authority)
	n, err := strconv.ParseUint(strings.TrimPrefix(port, ":"), 10, 32)
	if err != nil || c.StripPort == OwnPort && (!req.Conn.Local.IsValid() || n != uint64(req.Conn.Local.Port())) {
		return
	}
	req.Authority, req.Port = host, port
}

// withoutDot is an authority whose host ends in no dot.
func withoutDot(authority string) string {
	end := len(authority)
	if i := strings.LastIndexByte(authority, ':'); i >= 0 {
		end = i
	}
	if end == 0 || authority[end-1] != '.' {
		return authority
	}
	return authority[:end-1] + authority[end:]
}

// cutPort splits an authority before the colon of its port.
func cutPort(authority string) (host, port string) {
	i := strings.LastIndexByte(authority, ':')
	if i < 0 || i < strings.LastIndexByte(authority, ']') {
		return authority, ""
	}
	return authority[:i], authority[i:]
}
