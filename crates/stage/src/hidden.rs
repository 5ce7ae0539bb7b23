pub fn is_hidden(name: &str) -> bool { name == ".boxagnts" }
