package upcall

import (
	"encoding/binary"
	"fmt"
	"net/url"
	"strconv"

	"google.golang.org/protobuf/proto"

	"github.com/lateenmesh/lateen/proxy/stream"
)

// A StatusError is a gRPC call's outcome other than OK.
type StatusError struct {
	Code    int
	Message string
}

// Error gives code and message.
func (e *StatusError) Error() string { return fmt.Sprintf("gRPC status %d: %s", e.Code, e.Message) }

// prefix is what stands before a gRPC message: a byte that says whether it is
// compressed, and its length.
const prefix = 5

// Unary makes a gRPC call with one message each way. method is
// "/package.Service/Method"; out is nil where the reply's message does not matter,
// if there is one at all.
func (c *Caller) Unary(on *stream.Request, method string, in, out proto.Message) error {
	body, err := proto.MarshalOptions{}.MarshalAppend(make([]byte, prefix, 512), in)
	if err != nil {
		return fmt.Errorf("encode %s: %w", in.ProtoReflect().Descriptor().FullName(), err)
	}
	binary.BigEndian.PutUint32(body[1:], uint32(len(body)-prefix))
	reply, err := c.Do(on, Call{Method: "POST", Path: method, Body: body, Header: []stream.Field{{Name: "content-type", Value: "application/grpc"}, {Name: "te", Value: "trailers"}}})
	if err != nil {
		return err
	}
	if err := reply.status(); err != nil {
		return err
	}
	if out == nil {
		return nil
	}
	if len(reply.Body) < prefix || reply.Body[0] != 0 || int(binary.BigEndian.Uint32(reply.Body[1:])) != len(reply.Body)-prefix {
		return &StatusError{13, "the reply to " + method + " is not one plain message"}
	}
	if err := proto.Unmarshal(reply.Body[prefix:], out); err != nil {
		return fmt.Errorf("decode the reply to %s: %w", method, err)
	}
	return nil
}

// status is the call's outcome.
func (r *Reply) status() error {
	code, message := r.Trailers.Get("grpc-status"), r.Trailers.Get("grpc-message")
	if code == "" { // a reply without a message has it in its head
		code, message = r.Header.Get("grpc-status"), r.Header.Get("grpc-message")
	}
	if code == "" {
		return &StatusError{(&stream.Refusal{Status: r.Status}).GRPCStatus(), "the service answered HTTP " + strconv.Itoa(r.Status) + " without a gRPC status"}
	}
	n, err := strconv.Atoi(code)
	if err != nil {
		return &StatusError{2, "the service answered with the gRPC status " + strconv.Quote(code)}
	}
	if n == 0 {
		return nil
	}
	if plain, err := url.PathUnescape(message); err == nil {
		message = plain
	}
	return &StatusError{n, message}
}
