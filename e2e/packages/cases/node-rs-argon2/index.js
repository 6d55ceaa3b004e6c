const { verify } = require('@node-rs/argon2');
const known = '$argon2i$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$wWKIMhR9lyDFvRz9YTZweHKfbftvj+qf+YFY4NeBbtA';
module.exports = async () => [await verify(known, 'password'), await verify(known, 'passwort')];
