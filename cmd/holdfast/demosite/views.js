fetch("views.json").then(r => r.json()).then(v => { document.getElementById("views").textContent = v.views; });
