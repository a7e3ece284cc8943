// Package http2 is our HTTP/2 codec, server and client side (RFC 9113). It turns
// the streams of a connection into [stream.Request]s and back.
//
// Each connection has two goroutines: one reads frames and never waits for
// anything but the socket, one writes what the streams have gathered. Each
// stream is driven by the goroutine that handles its request, or that has sent
// it; what those share with the reader is guarded by the connection's mutex.
package http2

import (
	"encoding/binary"
	"fmt"
)

// preface is what a client sends first (section 3.4).
const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// frameType is the type of a frame (section 6).
type frameType uint8

const (
	dataFrame frameType = iota
	headersFrame
	priorityFrame
	resetFrame
	settingsFrame
	pushFrame
	pingFrame
	goAwayFrame
	windowFrame
	continuationFrame
)

// Flags of frames.
const (
	flagEndStream  = 0x1
	flagAck        = 0x1
	flagEndHeaders = 0x4
	flagPadded     = 0x8
	flagPriority   = 0x20
)

// Settings (section 6.5.2, and RFC 8441 section 3).
const (
	settingTableSize     = 1
	settingEnablePush    = 2
	settingMaxStreams    = 3
	settingInitialWindow = 4
	settingMaxFrame      = 5
	settingMaxHeaderList = 6
	settingConnect       = 8
)

const (
	frameHead     = 9
	maxFrame      = 16 << 10   // that we accept, and that we send
	initialWindow = 64<<10 - 1 // until settings say otherwise
	maxWindow     = 1<<31 - 1
	maxID         = 1<<31 - 1
)

// Code is a reason to end a stream or a connection (section 7).
type Code uint32

// The codes.
const (
	NoError Code = iota
	ProtocolError
	InternalError
	FlowControlError
	SettingsTimeout
	StreamClosed
	FrameSizeError
	RefusedStream
	Cancel
	CompressionError
	ConnectError
	EnhanceYourCalm
	InadequateSecurity
	HTTP11Required
)

var codeNames = [...]string{
	"NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT", "STREAM_CLOSED", "FRAME_SIZE_ERROR", "REFUSED_STREAM", "CANCEL",
	"COMPRESSION_ERROR", "CONNECT_ERROR", "ENHANCE_YOUR_CALM", "INADEQUATE_SECURITY", "HTTP_1_1_REQUIRED",
}

// String is the code's name in the standard.
func (c Code) String() string {
	if int(c) < len(codeNames) {
		return codeNames[c]
	}
	return fmt.Sprintf("code %d", uint32(c))
}

// A protocolError ends the connection.
type protocolError struct {
	code Code
	text string
}

func (e *protocolError) Error() string { return e.code.String() + ": " + e.text }

// Syntax marks the error for [stream.IsSyntax].
func (e *protocolError) Syntax() {}

func broken(code Code, text string) error { return &protocolError{code, text} }

// header is a frame's first nine bytes.
type header struct {
	length int
	kind   frameType
	flags  uint8
	id     uint32
}

func (h header) has(flag uint8) bool { return h.flags&flag != 0 }

// parseHeader reads the head of a frame; p has at least frameHead bytes.
func parseHeader(p []byte) header {
	return header{
		length: int(p[0])<<16 | int(p[1])<<8 | int(p[2]),
		kind:   frameType(p[3]), flags: p[4],
		id: binary.BigEndian.Uint32(p[5:]) & maxID,
	}
}

func appendHeader(out []byte, h header) []byte {
	return append(out, byte(h.length>>16), byte(h.length>>8), byte(h.length), byte(h.kind), h.flags, byte(h.id>>24), byte(h.id>>16), byte(h.id>>8), byte(h.id))
}

func appendReset(out []byte, id uint32, code Code) []byte {
	return binary.BigEndian.AppendUint32(appendHeader(out, header{4, resetFrame, 0, id}), uint32(code))
}

func appendWindow(out []byte, id, increment uint32) []byte {
	return binary.BigEndian.AppendUint32(appendHeader(out, header{4, windowFrame, 0, id}), increment)
}

func appendGoAway(out []byte, last uint32, code Code, text string) []byte {
	out = appendHeader(out, header{8 + len(text), goAwayFrame, 0, 0})
	out = binary.BigEndian.AppendUint32(out, last)
	out = binary.BigEndian.AppendUint32(out, uint32(code))
	return append(out, text...)
}

func appendSetting(out []byte, id uint16, value uint32) []byte {
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint16(out, id), value)
}
