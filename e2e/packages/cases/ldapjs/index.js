const ldap = require('ldapjs');
module.exports = async () => {
  const server = ldap.createServer();
  server.bind('cn=root', (req, res, next) => { if (req.credentials !== 'secret') return next(new ldap.InvalidCredentialsError()); res.end(); return next(); });
  server.search('ou=people', (req, res, next) => {
    for (const cn of ['bob', 'eve']) { const entry = { dn: `cn=${cn}, ou=people`, attributes: { cn, mail: `${cn}@x.ch` } }; if (req.filter.matches(entry.attributes)) res.send(entry); }
    res.end();
    return next();
  });
  await new Promise(r => server.listen(0, '127.0.0.1', r));
  const open = async password => { const c = ldap.createClient({ url: server.url }); await new Promise((ok, no) => c.bind('cn=root', password, e => (e ? no(e) : ok()))).catch(e => { c.destroy(); throw e; }); return c; };
  const client = await open('secret');
  const entries = await new Promise((ok, no) => client.search('ou=people', { scope: 'sub', filter: '(&(cn=b*)(mail=*))' }, (err, res) => {
    const all = [];
    res.on('searchEntry', e => all.push(e)).on('error', no).on('end', () => ok(all));
  }));
  const refused = await open('wrong').catch(e => e.name);
  client.destroy();
  server.close();
  return { found: entries.map(e => String(e.dn).replace(/,\s*/, ', ')), attrs: entries.map(e => e.attributes.find(a => a.type === 'mail').values[0]), refused };
};
