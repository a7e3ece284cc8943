package compile

import (
	"fmt"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"

	"github.com/lateenmesh/lateen/internal/fieldcheck"
	"github.com/lateenmesh/lateen/proxy/filter/entry"
)

// localReply compiles what becomes of the replies that the proxy makes itself; nil is
// nothing.
func (c *Compiler) localReply(m *hcmv3.LocalReplyConfig) (*entry.LocalReply, error) {
	if m == nil {
		return nil, nil
	}
	out := &entry.LocalReply{}
	for i, each := range m.GetMappers() {
		one, err := c.replyMapper(each)
		if err != nil {
			return nil, fieldcheck.At(fmt.Sprintf("mappers[%d]", i), err)
		}
		out.Mappers = append(out.Mappers, one)
	}
	if m.GetBodyFormat() != nil {
		var err error
		if out.Format, err = c.replyFormat(m.GetBodyFormat()); err != nil {
			return nil, fieldcheck.At("body_format", err)
		}
	}
	return out, nil
}

func (c *Compiler) replyMapper(m *hcmv3.ResponseMapper) (out entry.ReplyMapper, err error) {
	if out.Holds, err = c.logFilter(m.GetFilter()); err != nil {
		return out, fieldcheck.At("filter", err)
	}
	if out.Holds == nil {
		return out, fieldcheck.Refuse("filter", "is missing")
	}
	out.Status = int(m.GetStatusCode().GetValue())
	if m.GetBody() != nil {
		body, err := text(m.GetBody())
		if err != nil {
			return out, fieldcheck.At("body", err)
		}
		out.Body = &body
	}
	if out.Header, err = c.operations(m.GetHeadersToAdd()); err != nil {
		return out, fieldcheck.At("headers_to_add", err)
	}
	if m.GetBodyFormatOverride() != nil {
		format, err := c.replyFormat(m.GetBodyFormatOverride())
		if err != nil {
			return out, fieldcheck.At("body_format_override", err)
		}
		out.Format = &format
	}
	return out, nil
}

// replyFormat compiles a format of bodies.
func (c *Compiler) replyFormat(m *corev3.SubstitutionFormatString) (out entry.ReplyFormat, err error) {
	format, err := written(m)
	if err != nil {
		return out, err
	}
	if out.ContentType = m.GetContentType(); out.ContentType == "" && format.JSON != nil {
		out.ContentType = "application/json"
	}
	out.Write, err = c.Telemetry.Body(format)
	return out, err
}
