// tunnel_server.go: /tunnel as a box serves it, by gorilla/websocket and the
// reference implementation of yamux, for the tests of tunnels.sh.
//
// SPDX-License-Identifier: MIT
//
// "tunnel_server [FORBIDDEN-PORT [CERTIFICATE KEY]]" prints its port; it speaks
// TLS if it has a certificate. It knows one box, "box".
// GET /away sends a go away to every session that is there, GET /cut ends their
// connections, GET /sessions says how many there were, GET /file?N sends N
// bytes of noise, PUT /sum says what came: bytes, their SHA-256, an error.
package main

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"io/ioutil"
	"log"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/gorilla/websocket"
	"github.com/hashicorp/yamux"
)

// stream makes a WebSocket's messages a stream of bytes.
type stream struct {
	*websocket.Conn
	reader io.Reader
	lock   sync.Mutex
}

func (s *stream) Read(bytes []byte) (int, error) {
	for {
		if s.reader == nil {
			_, reader, err := s.NextReader()
			if err != nil {
				return 0, err
			}
			s.reader = reader
		}
		n, err := s.reader.Read(bytes)
		if err == io.EOF {
			s.reader = nil
			err = nil
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
}

func (s *stream) Write(bytes []byte) (int, error) {
	s.lock.Lock()
	defer s.lock.Unlock()
	return len(bytes), s.WriteMessage(websocket.BinaryMessage, bytes)
}

var (
	forbidden int
	lock      sync.Mutex
	sessions  = map[*yamux.Session]*stream{}
	count     int
	upgrader  = websocket.Upgrader{ReadBufferSize: 65536, WriteBufferSize: 65536}
)

// copyHalf passes bytes on, and the end of them as such; a reset as a reset.
func copyHalf(to, from net.Conn, finish func() error, done chan bool) {
	_, err := io.Copy(to, from)
	if err != nil {
		if tcp, ok := from.(*net.TCPConn); ok {
			tcp.SetLinger(0)
		}
		if tcp, ok := to.(*net.TCPConn); ok {
			tcp.SetLinger(0)
		}
		from.Close()
		to.Close()
	} else {
		finish()
	}
	done <- err == nil
}

// bridge serves one stream: three bytes, a status, then bytes both ways.
func bridge(s *yamux.Stream) {
	var head [3]byte
	if _, err := io.ReadFull(s, head[:]); err != nil {
		s.Close()
		return
	}
	port := int(binary.BigEndian.Uint16(head[1:]))
	if head[0] != 1 || port == forbidden {
		if head[0] != 1 {
			s.Write([]byte{3})
		} else {
			s.Write([]byte{1})
		}
		s.Close()
		return
	}
	conn, err := net.Dial("tcp", "127.0.0.1:"+strconv.Itoa(port))
	if err != nil {
		s.Write([]byte{2})
		s.Close()
		return
	}
	s.Write([]byte{0})
	done := make(chan bool, 2)
	go copyHalf(conn, s, conn.(*net.TCPConn).CloseWrite, done)
	go copyHalf(s, conn, s.Close, done)
	<-done
	<-done
	conn.Close()
	s.Close()
}

func tunnel(w http.ResponseWriter, r *http.Request) {
	conn, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	s := &stream{Conn: conn}
	config := yamux.DefaultConfig()
	config.LogOutput = ioutil.Discard
	config.ConnectionWriteTimeout = 30 * time.Second
	config.MaxStreamWindowSize = 16 << 20
	session, err := yamux.Server(s, config)
	if err != nil {
		return
	}
	lock.Lock()
	count++
	sessions[session] = s
	lock.Unlock()
	for {
		accepted, err := session.AcceptStream()
		if err != nil {
			break
		}
		go bridge(accepted)
	}
	lock.Lock()
	delete(sessions, session)
	lock.Unlock()
}

// noise answers with as many bytes as the query says.
func noise(w http.ResponseWriter, r *http.Request) {
	n, _ := strconv.Atoi(r.URL.RawQuery)
	w.Header().Set("Content-Length", strconv.Itoa(n))
	var block [65536]byte
	for i := range block {
		block[i] = byte(i*7 + i>>8)
	}
	for n > 0 {
		k := len(block)
		if k > n {
			k = n
		}
		if _, err := w.Write(block[:k]); err != nil {
			return
		}
		n -= k
	}
}

func main() {
	if len(os.Args) > 1 {
		forbidden, _ = strconv.Atoi(os.Args[1])
	}
	http.HandleFunc("/tunnel", tunnel)
	http.HandleFunc("/file", noise)
	http.HandleFunc("/sum", func(w http.ResponseWriter, r *http.Request) {
		hash := sha256.New()
		n, err := io.Copy(hash, r.Body)
		fmt.Fprintf(w, "%d %x %v\n", n, hash.Sum(nil), err)
	})
	http.HandleFunc("/away", func(w http.ResponseWriter, r *http.Request) {
		lock.Lock()
		defer lock.Unlock()
		for session := range sessions {
			session.GoAway()
		}
	})
	http.HandleFunc("/cut", func(w http.ResponseWriter, r *http.Request) {
		lock.Lock()
		defer lock.Unlock()
		for _, s := range sessions {
			s.UnderlyingConn().Close()
		}
	})
	http.HandleFunc("/sessions", func(w http.ResponseWriter, r *http.Request) {
		lock.Lock()
		defer lock.Unlock()
		fmt.Fprintln(w, count)
	})
	http.HandleFunc("/v2/sandboxes/boxes/box", func(w http.ResponseWriter, r *http.Request) {
		scheme := "http"
		if r.TLS != nil {
			scheme = "https"
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"id":"1","name":"box","status":"ready",`+
			`"dataplane_url":"%s://%s"}`, scheme, r.Host)
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	if len(os.Args) > 3 {
		log.Fatal(http.ServeTLS(listener, nil, os.Args[2], os.Args[3]))
	}
	log.Fatal(http.Serve(listener, nil))
}
