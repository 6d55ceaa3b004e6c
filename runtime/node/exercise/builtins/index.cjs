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
  new TextDecoder().decode(new TextEncoder().encode('text'));
  structuredClone({ url: new URL('http://localhost/?a=b').searchParams.get('a') });
  return new AbortController().signal.aborted;
};
