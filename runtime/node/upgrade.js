'use strict';
// WebSockets and other upgrades: handed to functions that are a server which listens for them.

const b = require('./builtins.js');
const { enter, tag } = require('./context.js');

const REFUSAL = 'HTTP/1.1 501 Not Implemented\r\ncontent-type: application/problem+json\r\nconnection: close\r\n'
  + 'hearth-outcome: error\r\ncontent-length: ';

/** Hands the upgrade x on socket to function f. */
function serve(f, x, socket, head) {
  if (f.model !== 'server' || f.server === null || b.listenerCount(f.server, 'upgrade') === 0) {
    refuse(x, socket);
    return;
  }
  tag(socket, x);
  tag(x.req, x);
  b.on(socket, 'close', () => x.expire(new b.DOMException('The caller went away.', 'AbortError')));
  enter(x, () => {
    try {
      b.apply(b.emit, f.server, ['upgrade', x.req, socket, head]);
    } catch (err) {
      x.fail('throw', err);
      socket.destroy();
    }
  });
}

function refuse(x, socket, reason) {
  const body = b.stringify({
    type: 'about:blank',
    title: 'Function error',
    status: 501,
    detail: 'The function takes no upgrades. A server that listens for the upgrade event does.',
    instance: x.id,
    code: 'function_error',
    component: 'code',
    reason: reason ?? 'upgrade',
  });
  socket.end(`${REFUSAL}${b.byteLength(body)}\r\n\r\n${body}`);
}

module.exports = { serve, refuse };
