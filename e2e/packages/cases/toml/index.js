module.exports = async () => require('toml').parse('ports = [8001, 8002]\n[owner]\nname = "Tom"\ndob = 1979-05-27T07:32:00-08:00\n[[products]]\nsku = 1\n[[products]]\nsku = 2\n');
