'use strict';
// Loads the web's classes, which Node.js itself loads when they are first named.

module.exports = async () => {
  const form = new FormData();
  form.set('a', 'b');
  const request = new Request('http://localhost/', { method: 'POST', body: '{}', headers: { a: 'b' } });
  const response = Response.json(await request.json());
  await response.text();
  return [typeof fetch, typeof crypto.subtle];
};
