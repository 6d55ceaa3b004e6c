'use strict';
// Loads the web standard classes. They are two megabytes of an instance and half the time of the
// whole exercise, and what the first request of a fetch function would wait for.

module.exports = async () => {
  const form = new FormData();
  form.set('a', 'b');
  const request = new Request('http://localhost/', { method: 'POST', body: '{}', headers: { a: 'b' } });
  const response = Response.json(await request.json());
  await response.text();
  return typeof fetch;
};
