package telemetry

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lateenmesh/lateen/proxy/expr"
	"github.com/lateenmesh/lateen/proxy/stream"
)

// kinds are whose metadata logs can tell, by Envoy's names.
var kinds = map[string]func(*record) *stream.Metadata{
	"DYNAMIC":               func(r *record) *stream.Metadata { return &r.req.Info.Metadata },
	"ROUTE":                 func(r *record) *stream.Metadata { return r.req.Info.Described.Route },
	"VIRTUAL_HOST":          func(r *record) *stream.Metadata { return r.req.Info.Described.VirtualHost },
	"CLUSTER":               func(r *record) *stream.Metadata { return r.req.Info.Described.Cluster },
	"UPSTREAM_HOST":         func(r *record) *stream.Metadata { return r.req.Info.Described.Endpoint },
	"LISTENER":              func(r *record) *stream.Metadata { return r.req.Conn.Described },
	"LISTENER_FILTER_CHAIN": func(r *record) *stream.Metadata { return r.req.Conn.ChainDescribed },
}

// metadata is an operator for metadata of a kind: KIND:NAMESPACE:KEY:KEY...
func metadata(argument string) (operator, error) {
	kind, rest, _ := strings.Cut(argument, ":")
	if kinds[kind] == nil {
		return operator{}, fmt.Errorf("%q has no metadata: want one of %s", kind, strings.Join(slices.Sorted(maps.Keys(kinds)), ", "))
	}
	return metadataOf(kind)(rest)
}

// metadataOf makes operators for metadata of one kind: NAMESPACE:KEY:KEY...
func metadataOf(kind string) func(argument string) (operator, error) {
	of := kinds[kind]
	return func(argument string) (operator, error) {
		namespace, rest, _ := strings.Cut(argument, ":")
		if namespace == "" {
			return operator{}, errors.New("want the namespace of a filter")
		}
		if kind != "DYNAMIC" && stream.Unkept(namespace) {
			return operator{}, fmt.Errorf("nothing is kept of the namespace %s: write what logs are to tell into one of your own", namespace)
		}
		var path []string
		if rest != "" {
			path = strings.Split(rest, ":")
		}
		value := func(r *record) (any, bool) {
			v, found := of(r).Get(namespace, path...)
			return v, found && v != nil
		}
		return operator{
			write: func(b []byte, r *record) ([]byte, bool) {
				v, found := value(r)
				if !found {
					return b, false
				}
				return appendValue(b, v)
			},
			json: func(b []byte, r *record) ([]byte, bool) {
				v, found := value(r)
				if !found {
					return b, false
				}
				encoded, err := json.Marshal(v)
				return append(b, encoded...), err == nil
			},
		}, nil
	}
}

// appendValue writes a JSON value: strings as they are.
func appendValue(b []byte, value any) ([]byte, bool) {
	if s, ok := value.(string); ok {
		return append(b, s...), true
	}
	encoded, err := encode(value)
	return append(b, encoded...), err == nil
}

// encode makes JSON of a value, without escapes that are only for HTML.
func encode(value any) ([]byte, error) {
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	err := e.Encode(value)
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), err
}

// filterState makes operators for a string that filters have left: KEY, or KEY:PLAIN
// for one without quotes. Of an object KEY:FIELD:NAME is a field; fields gives all of
// them, nil of what is no object.
func filterState(get func(r *record, key string) (string, bool), fields func(r *record, key string) map[string]string) func(argument string) (operator, error) {
	return func(argument string) (operator, error) {
		key, form, formed := strings.Cut(argument, ":")
		if name, field := strings.CutPrefix(form, "FIELD:"); field && name != "" {
			return operator{write: func(b []byte, r *record) ([]byte, bool) {
				v, found := fields(r, key)[name]
				return append(b, v...), found
			}}, nil
		}
		if formed && form != "PLAIN" && form != "TYPED" {
			return operator{}, fmt.Errorf("%q is no form of filter state: want PLAIN, TYPED or FIELD:NAME", form)
		}
		plain := func(b []byte, r *record) ([]byte, bool) {
			v, found := get(r, key)
			return append(b, v...), found
		}
		quoted := func(b []byte, r *record) ([]byte, bool) {
			v, found := get(r, key)
			if !found || fields(r, key) != nil {
				return append(b, v...), found
			}
			return appendQuoted(b, v), true
		}
		if form != "PLAIN" {
			return operator{write: quoted, json: quoted}, nil
		}
		return operator{write: plain}, nil
	}
}

// downstreamFields are those of an object that a filter of the connection has left.
func downstreamFields(r *record, key string) map[string]string {
	if r.req.Conn == nil {
		return nil
	}
	return r.req.Conn.Fields[key]
}

// noFields is for state that has no objects.
func noFields(*record, string) map[string]string { return nil }

// upstreamState is what was shared with the upstream's connection by whom opened it.
func upstreamState(r *record, key string) (string, bool) {
	v, found := r.req.Info.UpstreamState[key]
	return v, found
}

// appendQuoted writes a string as protobuf's JSON has it.
func appendQuoted(b []byte, v string) []byte {
	quoted, _ := encode(v) // no string is refused
	quoted = bytes.ReplaceAll(quoted, []byte("<"), []byte(`\u003c`))
	return append(b, bytes.ReplaceAll(quoted, []byte(">"), []byte(`\u003e`))...)
}

// queryParam is an operator for a parameter of the path.
func queryParam(name string) (operator, error) {
	if name == "" {
		return operator{}, errors.New("want the name of a parameter")
	}
	return text(func(r *record) string {
		value, _ := r.req.Param(name)
		return value
	}), nil
}

// expression is an operator for what an expression in the Common Expression
// Language gives.
func expression(argument string) (operator, error) {
	program, err := expr.Compile(argument)
	if err != nil {
		return operator{}, err
	}
	return operator{write: func(b []byte, r *record) ([]byte, bool) {
		value, found := program.Text(r.req, r.resp)
		return append(b, value...), found
	}}, nil
}

// moments are the points between which COMMON_DURATION measures, by Envoy's
// names: the downstream's and the upstream's receiving and transmitting.
var moments = map[string]func(*stream.Info) time.Time{
	"DS_RX_BEG": start,
	"DS_RX_END": func(i *stream.Info) time.Time { return i.RequestDone },
	"US_TX_END": func(i *stream.Info) time.Time { return i.UpstreamSent },
	"US_RX_BEG": func(i *stream.Info) time.Time { return i.UpstreamRecv },
	"DS_TX_END": end,
}

var units = map[string]time.Duration{"ms": time.Millisecond, "us": time.Microsecond, "ns": time.Nanosecond}

// commonDuration is an operator FROM:TO:UNIT.
func commonDuration(argument string) (operator, error) {
	parts := strings.Split(argument, ":")
	if len(parts) != 3 {
		return operator{}, errors.New("want FROM:TO:UNIT")
	}
	from, to, unit := moments[parts[0]], moments[parts[1]], units[parts[2]]
	if from == nil || to == nil {
		return operator{}, fmt.Errorf("%s:%s: want two of DS_RX_BEG, DS_RX_END, US_TX_END, US_RX_BEG, DS_TX_END", parts[0], parts[1])
	}
	if unit == 0 {
		return operator{}, fmt.Errorf("%q is no unit: want ms, us or ns", parts[2])
	}
	return operator{number: true, write: func(b []byte, r *record) ([]byte, bool) {
		a, z := from(r.req.Info), to(r.req.Info)
		if a.IsZero() || z.IsZero() {
			return b, false
		}
		return strconv.AppendInt(b, int64(z.Sub(a)/unit), 10), true
	}}, nil
}
