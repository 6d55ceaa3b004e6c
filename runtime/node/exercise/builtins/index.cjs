'use strict';
// Loads what functions commonly need, so that no first request has to.

const NAMES = ['assert', 'buffer', 'crypto', 'events', 'fs', 'fs/promises', 'http', 'https', 'os', 'path',
  'querystring', 'stream', 'stream/promises', 'string_decoder', 'timers/promises', 'url', 'util', 'zlib'];

module.exports = async () => {
  for (const name of NAMES) require(name);
  const { createHmac, timingSafeEqual, randomUUID } = require('crypto');
  const mac = createHmac('sha256', 'key').update('text').digest();
  timingSafeEqual(mac, mac);
  randomUUID();
  const form = new FormData();
  form.set('a', 'b');
  const request = new Request('http://localhost/', { method: 'POST', body: '{}', headers: { a: 'b' } });
  const response = Response.json(await request.json());
  await response.text();
  new TextDecoder().decode(new TextEncoder().encode('text'));
  structuredClone({ url: new URL('http://localhost/?a=b').searchParams.get('a') });
  return [typeof fetch, typeof crypto.subtle, new AbortController().signal.aborted];
};
