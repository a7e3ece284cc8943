package telemetry

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// coalesce is an operator for the first value that there is and that is not empty, of
// the operators that JSON lists: {"operators": ["NAME", {"command": "NAME", "param":
// "ARGUMENT", "max_length": 8}]}.
func coalesce(argument string) (operator, error) {
	var list struct {
		Operators []json.RawMessage `json:"operators"`
	}
	if err := strictly([]byte(argument), &list); err != nil {
		return operator{}, fmt.Errorf(`want {"operators": [...]}: %w`, err)
	}
	if len(list.Operators) == 0 {
		return operator{}, errors.New(`want at least one of "operators"`)
	}
	all := make([]operator, len(list.Operators))
	for i, text := range list.Operators {
		var err error
		if all[i], err = listed(text); err != nil {
			return operator{}, fmt.Errorf("operators[%d]: %w", i, err)
		}
	}
	return operator{
		write: func(b []byte, r *record) ([]byte, bool) {
			for i := range all {
				if longer, found := all[i].write(b, r); found && len(longer) > len(b) {
					return longer, true
				}
			}
			return b, false
		},
		json: func(b []byte, r *record) ([]byte, bool) {
			for i := range all {
				value, found := all[i].write(nil, r)
				switch {
				case !found || len(value) == 0:
				case all[i].json != nil: // which may be no text
					return all[i].json(b, r)
				default:
					return all[i].appendJSON(b, value), true
				}
			}
			return b, false
		},
	}, nil
}

// listed makes an operator of one of a list: its name, or an object.
func listed(text json.RawMessage) (operator, error) {
	var one struct {
		Command string `json:"command"`
		Param   string `json:"param"`
		Max     *int   `json:"max_length"`
	}
	if json.Unmarshal(text, &one.Command) != nil {
		if err := strictly(text, &one); err != nil {
			return operator{}, fmt.Errorf(`want a name or {"command": NAME}: %w`, err)
		}
	}
	op, err := named(one.Command, one.Param, one.Param != "")
	switch {
	case err != nil:
		return operator{}, fmt.Errorf("%s: %w", one.Command, err)
	case one.Max == nil:
		return op, nil
	case *one.Max < 0:
		return operator{}, fmt.Errorf("%s: max_length is %d", one.Command, *one.Max)
	}
	return cut(op, *one.Max), nil
}

// strictly reads JSON whose keys are all known: one that is misspelt changes what is
// logged.
func strictly(text []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("something stands behind it")
	}
	return nil
}
