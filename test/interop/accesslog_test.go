package interop

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

// accessLog is the field of a network filter that logs to a file in a format, which is
// fields of log_format.
func accessLog(file, format string) string {
	return fmt.Sprintf(`access_log: [{name: file, typed_config: {"@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog, path: %q, log_format: {%s}}}]`, file, format)
}

// text is the format of lines of text.
func text(line string) string { return `text_format_source: {inline_string: "` + line + `\n"}` }

// tabbed is the format of lines with the values of operators between tabs.
func tabbed(operators []string) string { return text("%" + strings.Join(operators, `%\t%`) + "%") }

// inJSON is the format of lines that are objects, of the names and formats of fields.
func inJSON(t *testing.T, fields map[string]string) string {
	t.Helper()
	list, err := json.Marshal(fields)
	if err != nil {
		t.Fatal(err)
	}
	return "json_format: " + string(list)
}

// logFile reads an access log line by line.
type logFile struct {
	file string
	seen int
}

func (l *logFile) next(t *testing.T) string {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		text, _ := os.ReadFile(l.file)
		if i := bytes.IndexByte(text[min(l.seen, len(text)):], '\n'); i >= 0 {
			line := string(text[l.seen : l.seen+i])
			l.seen += i + 1
			return line
		}
	}
	return "NO LINE"
}

// of gives the rest of the line that begins with the port of a connection: there may be
// lines of others before it.
func (l *logFile) of(t *testing.T, conn net.Conn) string {
	t.Helper()
	_, port, _ := net.SplitHostPort(conn.LocalAddr().String())
	for {
		if its, line, _ := strings.Cut(l.next(t), " "); its == port || line == "LINE" {
			return line
		}
	}
}

// logged asks for a path, and gives the log's line for it, which is an object.
func (p *peer) logged(t *testing.T, path string) map[string]any {
	t.Helper()
	req, err := http.NewRequest("GET", "http://"+p.address+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultTransport.RoundTrip(req) // which follows no redirects
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, resp.Body) // some break off
	resp.Body.Close()
	line := map[string]any{}
	if err := json.Unmarshal([]byte(p.log.next(t)), &line); err != nil {
		t.Fatal(err)
	}
	return line
}
