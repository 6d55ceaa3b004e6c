const { createClient } = require('@supabase/supabase-js');
const http = require('node:http');
let asked;
const server = http.createServer((req, res) => {
  res.setHeader('content-type', 'application/json');
  if (!req.url.startsWith('/rest/v1/todos')) return res.writeHead(404).end('{"code":"PGRST205","message":"no table"}');
  asked = [req.method, decodeURIComponent(req.url), req.headers.apikey];
  res.end('[{"id":2,"title":"b"}]');
});
module.exports = async () => {
  await new Promise(r => server.listen(0, '127.0.0.1', r));
  const db = createClient(`http://127.0.0.1:${server.address().port}`, 'anon', { auth: { persistSession: false, autoRefreshToken: false } });
  const { data } = await db.from('todos').select('id, title').is('done', true).order('id', { ascending: false }).limit(2);
  const { error } = await db.from('none').select();
  server.close();
  return { asked, rows: data, error: error.code };
};
